/**
 * The code that opens a file in a notebook.
 */

const TABLES: Record<string, string> = {
  '.csv': 'pd.read_csv(PATH)',
  '.tsv': 'pd.read_csv(PATH, sep="\\t")',
  '.parquet': 'pd.read_parquet(PATH)',
  '.xlsx': 'pd.read_excel(PATH)'
};
const ARRAYS: Record<string, string> = {
  '.nc': 'xr.open_dataset(PATH)',
  '.nc4': 'xr.open_dataset(PATH)',
  '.zarr': 'xr.open_zarr(PATH)',
  '.grib': 'xr.open_dataset(PATH, engine="cfgrib")'
};
const HDF5 = ['.h5', '.hdf5', '.he5'];
const IMAGES = ['.png', '.jpg', '.jpeg', '.gif', '.webp'];

/**
 * The code that opens a file, by what its name says that it is.
 *
 * @param path where it is on this machine, which may tell nothing of its name
 */
export function openCode(path: string, name: string): string {
  const suffix = (/\.[^./]*$/.exec(name)?.[0] ?? '').toLowerCase();
  // A JSON text is a Python text too.
  const literal = JSON.stringify(path);
  const filled = (call: string) => call.replace('PATH', () => literal);
  const table = TABLES[suffix];
  if (table) {
    return `import pandas as pd\n\ndata = ${filled(table)}\ndata`;
  }
  const array = ARRAYS[suffix];
  if (array) {
    return `import xarray as xr\n\ndata = ${filled(array)}\ndata`;
  }
  if (HDF5.includes(suffix)) {
    return `import h5py\n\ndata = h5py.File(${literal}, "r")\nlist(data)`;
  }
  if (IMAGES.includes(suffix)) {
    return `from IPython.display import Image\n\nImage(${literal})`;
  }
  return `from pathlib import Path\n\npath = Path(${literal})\npath`;
}
