// Zoom, seeking and following the sound.  The page can be read without any of it.
(() => {
  "use strict";
  const SMALLEST = 24, LARGEST = 240;
  const sheet = document.getElementById("sheet");
  const scroller = document.getElementById("scroller");
  const overview = document.getElementById("overview");
  const sound = document.getElementById("sound");
  if (!sheet) return;
  const duration = parseFloat(sheet.style.getPropertyValue("--duration"));
  const view = overview.querySelector(".window");
  const needles = document.querySelectorAll(".now");
  const words = [...document.querySelectorAll(".word")];
  let pps = SMALLEST, now = 0;

  function showWindow() {
    const whole = duration * pps;
    view.style.left = `${(100 * scroller.scrollLeft) / whole}%`;
    view.style.width = `${Math.min(100, (100 * scroller.clientWidth) / whole)}%`;
  }

  function zoom(to, aroundS) {
    const bounded = Math.min(LARGEST, Math.max(SMALLEST, to));
    const offset = aroundS * pps - scroller.scrollLeft;
    pps = bounded;
    sheet.style.setProperty("--pps", pps);
    scroller.scrollLeft = aroundS * pps - offset;
    showWindow();
  }

  function middle() {
    return (scroller.scrollLeft + scroller.clientWidth / 2) / pps;
  }

  function show(timeS, follow) {
    now = timeS;
    sheet.style.setProperty("--now", timeS);
    overview.style.setProperty("--now", timeS / duration);
    const x = timeS * pps, left = scroller.scrollLeft, width = scroller.clientWidth;
    if (follow && (x < left || x > left + width * 0.9)) scroller.scrollLeft = x - width * 0.1;
    for (const word of words) {
      const said = word.dataset.time <= timeS && timeS < word.dataset.end;
      word.classList.toggle("said", said);
    }
  }

  function seek(timeS, play) {
    const bounded = Math.min(duration, Math.max(0, timeS));
    if (sound) {
      sound.currentTime = bounded;
      if (play) sound.play().catch(() => {});
    }
    show(bounded, true);
  }

  function tick() {
    show(sound.currentTime, true);
    if (!sound.paused) requestAnimationFrame(tick);
  }

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-time]");
    if (target) seek(parseFloat(target.dataset.time), true);
  });
  overview.addEventListener("click", (event) => {
    const box = overview.getBoundingClientRect();
    seek(((event.clientX - box.left) / box.width) * duration, false);
  });
  scroller.addEventListener("click", (event) => {
    if (event.target.closest("[data-time]")) return;
    seek((event.clientX - sheet.getBoundingClientRect().left) / pps, false);
  });
  scroller.addEventListener("scroll", showWindow, { passive: true });
  scroller.addEventListener("keydown", (event) => {
    const by = { "+": 1.5, "=": 1.5, "-": 1 / 1.5 }[event.key];
    if (by) zoom(pps * by, middle());
    if (event.key === " " && sound && event.target === scroller) {
      event.preventDefault();
      if (sound.paused) sound.play().catch(() => {});
      else sound.pause();
    }
  });
  document.getElementById("zoom-in").addEventListener("click", () => zoom(pps * 1.5, middle()));
  document.getElementById("zoom-out").addEventListener("click", () => zoom(pps / 1.5, middle()));
  addEventListener("resize", showWindow);
  if (sound) {
    sound.addEventListener("play", tick);
    sound.addEventListener("seeked", () => show(sound.currentTime, true));
  }
  zoom((scroller.clientWidth - parseFloat(sheet.style.getPropertyValue("--tail"))) / duration, 0);
  show(0, false);
})();
