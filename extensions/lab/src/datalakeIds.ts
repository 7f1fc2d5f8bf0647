import type { ISubject } from './datalakeDetails.js';

/** The ids of the commands. */
export const DataLakeCommandIDs = {
  show: 'farlab:show-datalake',
  refresh: 'farlab:refresh-datalake',
  showAttached: 'farlab:show-attached-lake-data',
  open: 'farlab:open-lake-file',
  makeAvailable: 'farlab:make-lake-data-available',
  preview: 'farlab:preview-lake-file',
  copyName: 'farlab:copy-lake-name',
  copyPath: 'farlab:copy-lake-path',
  copyTo: 'farlab:copy-lake-data-to',
  share: 'farlab:share-lake-link',
  download: 'farlab:download-lake-file',
  upload: 'farlab:upload-to-lake',
  create: 'farlab:create-lake-dataset',
  createContainer: 'farlab:create-lake-container',
  createFolder: 'farlab:create-lake-folder',
  attach: 'farlab:attach-lake-data',
  detach: 'farlab:detach-lake-data',
  close: 'farlab:close-lake-dataset',
  metadata: 'farlab:edit-lake-metadata',
  lifetime: 'farlab:set-lake-lifetime',
  remove: 'farlab:delete-lake-data',
  register: 'farlab:register-lake-items',
  makeItem: 'farlab:make-lake-item',
  logIn: 'farlab:log-in-to-lake',
  logOut: 'farlab:log-out-of-lake'
} as const;

/** A command about the selected entries. */
export interface IEntryCommand {
  id: string;
  /** In the menu and on buttons. */
  label: string;
  /** In the palette, where nothing says what it is about. */
  longLabel: string;
  caption: string;
  /** What to press in the tree for it. */
  keys?: string[];
  /** Whether it takes several entries at once; all are of one lake. */
  isForMany?: boolean;
  suits: (subject: ISubject) => boolean;
  run: (subjects: [ISubject, ...ISubject[]]) => void | Promise<void>;
}
