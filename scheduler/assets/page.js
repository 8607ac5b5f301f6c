// Keeps the page of a title fresh, and plays what is published. The server renders; this script
// only asks it again when something happened, and moves progress bars in between.
"use strict";

(() => {
  const live = document.getElementById("live");
  if (!live) return;
  const asset = live.dataset.asset;
  const REFRESH_MS_MIN = 400;

  // How far each running attempt is, by job: fractions that the stage bars add up.
  const running = new Map();

  function drawStages() {
    for (const stage of document.querySelectorAll("[data-stage]")) {
      const bar = stage.querySelector("progress");
      const note = stage.querySelector(".note");
      const total = Number(stage.dataset.total);
      let part = 0;
      let speed = 0;
      let jobs = 0;
      for (const progress of running.values()) {
        if (progress.kind !== stage.dataset.stage || progress.total === 0) continue;
        part += Math.min(progress.done / progress.total, 1);
        speed += progress.speed_milli;
        jobs += 1;
      }
      bar.value = Math.min(Number(stage.dataset.done) + part, Math.max(total, 1));
      if (jobs > 0) note.textContent = jobs + " running" + (speed > 0 ? ", " + (speed / 1000).toFixed(1) + "×" : "");
    }
  }

  // One refresh at a time, and not more often than people can see.
  let refreshing = false;
  let again = false;
  async function refresh() {
    if (refreshing) {
      again = true;
      return;
    }
    refreshing = true;
    again = false;
    try {
      const answer = await fetch(location.pathname, { headers: { accept: "text/html" } });
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
        if (fresh) replace(fresh);
      }
    } catch {
      // The server is away; the event stream reconnects and asks again.
    }
    setTimeout(() => {
      refreshing = false;
      if (again) refresh();
    }, REFRESH_MS_MIN);
  }

  function replace(fresh) {
    // The player keeps its element: a replaced one would start over.
    for (const kept of live.querySelectorAll("[data-keep]")) {
      const place = fresh.querySelector('[data-keep="' + kept.dataset.keep + '"]');
      if (place) place.replaceWith(kept);
    }
    const before = live.querySelector(".badge").textContent;
    live.replaceChildren(...fresh.childNodes);
    live.dataset.following = fresh.dataset.following;
    const now = live.querySelector(".badge").textContent;
    if (now !== before) document.getElementById("status").textContent = "The title is " + now + ".";
    drawStages();
    play();
  }

  function play() {
    const video = document.getElementById("video");
    if (!video || video.dataset.started) return;
    video.dataset.started = "yes";
    const say = (text) => {
      document.getElementById("player-state").textContent = text;
    };
    const source = video.dataset.hls;
    if (window.Hls && Hls.isSupported()) {
      const hls = new Hls({ enableWorker: true });
      // For whoever drives this page from outside.
      window.framemillPlayer = hls;
      hls.on(Hls.Events.MANIFEST_PARSED, (_, data) => {
        say(data.levels.length + (data.levels.length === 1 ? " rendition" : " renditions") + ", played by hls.js");
      });
      hls.on(Hls.Events.LEVEL_SWITCHED, (_, data) => {
        const level = hls.levels[data.level];
        if (level) say("Playing " + level.width + "×" + level.height + " of " + hls.levels.length + " renditions");
      });
      hls.on(Hls.Events.ERROR, (_, data) => {
        if (!data.fatal) return;
        if (data.type === Hls.ErrorTypes.MEDIA_ERROR && !video.dataset.recovered) {
          video.dataset.recovered = "yes";
          hls.recoverMediaError();
        } else {
          say("This browser cannot play it (" + data.details + ").");
        }
      });
      hls.loadSource(source);
      hls.attachMedia(video);
    } else if (video.canPlayType("application/vnd.apple.mpegurl")) {
      video.src = source;
      say("Played by the browser");
    } else {
      say("This browser plays no HLS.");
    }
  }

  function follow() {
    const stream = new EventSource("/v1/assets/" + asset + "/events");
    stream.addEventListener("progress", (message) => {
      const progress = JSON.parse(message.data);
      running.set(progress.job_id, progress);
      drawStages();
    });
    stream.addEventListener("event", (message) => {
      const event = JSON.parse(message.data);
      const status = event.data.status;
      if (event.data.job_id && status !== "running") running.delete(event.data.job_id);
      refresh();
      if (!event.data.job_id && ["published", "failed", "cancelled", "doomed"].includes(status)) {
        // The server ends the stream; without this the browser would open it again for ever.
        stream.close();
      }
    });
    // After a gap, what was missed is in the page the server renders now.
    stream.addEventListener("open", refresh);
  }

  play();
  if (live.dataset.following === "true") follow();
})();
