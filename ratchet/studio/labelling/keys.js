// A key presses the button or link that names it in data-key; Escape leaves a field, "/" goes to the field that finds.
document.addEventListener("keydown", (event) => {
  const field = event.target.closest("input, textarea, select");
  if (event.key === "Escape" && field) field.blur();
  if (field || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const key = event.key.toLowerCase();
  const pressed = [...document.querySelectorAll("[data-key]")].find((item) => item.dataset.key === key);
  if (!pressed) return;
  event.preventDefault();
  if (pressed.matches("input, textarea")) pressed.focus();
  else pressed.click();
});
// A swipe to the left skips, one to the right goes back to the text before.
let start = null;
document.addEventListener("touchstart", (event) => { start = event.changedTouches[0]; }, { passive: true });
document.addEventListener("touchend", (event) => {
  const end = event.changedTouches[0];
  const dx = start ? end.clientX - start.clientX : 0;
  if (!start || Math.abs(dx) < 120 || Math.abs(end.clientY - start.clientY) > 60) return;
  document.querySelector(dx < 0 ? '[data-key="s"]' : '[data-key="u"]')?.click();
}, { passive: true });
