// Turns the times of a page into the reader's own; again for what is added later.
function farlabTimes(root) {
  for (const time of root.querySelectorAll("time[data-epoch]")) {
    const when = new Date(Number(time.dataset.epoch) * 1000);
    const today = when.toDateString() === new Date().toDateString();
    const style = today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" };
    time.textContent = when.toLocaleString([], style);
    time.dateTime = when.toISOString();
  }
}
farlabTimes(document);
