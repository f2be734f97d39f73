// Slows a real core down, so that what it does can be watched: it stands still for most of the time, and runs in between.

const stillMs = 40;
const runningMs = 8;

/// Runs `act` while the daemon's core gets about a sixth of its time.
export async function slowed(daemon, act) {
  const {corePid} = await daemon.call("GET", "/api/system");
  let timer;
  const still = () => {
    process.kill(corePid, "SIGSTOP");
    timer = setTimeout(running, stillMs);
  };
  const running = () => {
    process.kill(corePid, "SIGCONT");
    timer = setTimeout(still, runningMs);
  };
  still();
  try {
    return await act();
  } finally {
    clearTimeout(timer);
    process.kill(corePid, "SIGCONT");
  }
}
