// Turns the times of a page into the reader's own.
for (const time of document.querySelectorAll(".fl time[data-epoch]")) {
  const when = new Date(Number(time.dataset.epoch) * 1000);
  const today = when.toDateString() === new Date().toDateString();
  time.textContent = when.toLocaleString([], today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
  time.dateTime = when.toISOString();
}
