// Runs in the page. One adapter for each player, all with the same few verbs:
// load(url), levels() lowest first, select(level), and `errors`, every error event there was.
window.judgePlayers = {
  async hls(video, url) {
    const errors = [];
    const stalls = [];
    const hls = new window.Hls({ startLevel: 0, capLevelToPlayerSize: false, testBandwidth: false });
    hls.on(window.Hls.Events.ERROR, (_, data) => {
      // A stall says that this machine was slow; a hole in the stream is another event.
      const list = data.details === "bufferStalledError" && !data.fatal ? stalls : errors;
      list.push(`${data.fatal ? "fatal " : ""}${data.type} ${data.details} ${data.error?.message ?? ""}`.trim());
    });
    const parsed = new Promise((resolve, reject) => {
      hls.once(window.Hls.Events.MANIFEST_PARSED, resolve);
      hls.on(window.Hls.Events.ERROR, (_, data) => data.fatal && reject(new Error(`${data.type} ${data.details}`)));
    });
    hls.loadSource(url);
    hls.attachMedia(video);
    await parsed;
    const order = hls.levels
      .map((level, index) => ({ index, width: level.width, height: level.height, bitrate: level.bitrate }))
      .sort((a, b) => a.height - b.height || a.bitrate - b.bitrate);
    return {
      errors,
      stalls,
      levels: () => order,
      audioTracks: () => hls.audioTracks.length,
      select: (level) => { hls.currentLevel = order[level].index; },
    };
  },

  async dash(video, url) {
    const errors = [];
    window.shaka.polyfill.installAll();
    const player = new window.shaka.Player();
    player.addEventListener("error", (event) => errors.push(`${event.detail.severity === 2 ? "fatal " : ""}shaka ${event.detail.code} ${event.detail.message}`));
    await player.attach(video);
    player.configure({ abr: { enabled: false }, streaming: { bufferingGoal: 12 } });
    await player.load(url);
    const order = player.getVariantTracks()
      .map((track) => ({ track, width: track.width, height: track.height, bitrate: track.bandwidth }))
      .sort((a, b) => a.height - b.height || a.bitrate - b.bitrate);
    const tracks = () => player.getVariantTracks();
    return {
      errors,
      stalls: [],
      levels: () => order.map(({ width, height, bitrate }) => ({ width, height, bitrate })),
      audioTracks: () => new Set(tracks().map((track) => track.audioId).filter((id) => id !== null)).size,
      select: (level) => {
        const track = tracks().find((one) => one.id === order[level].track.id);
        player.selectVariantTrack(track, true);
      },
    };
  },
};
