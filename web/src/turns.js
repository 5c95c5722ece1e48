// At most n tasks at once, the others in the order they came. A browser opens six connections to one server: three for uploads, two for
// reads, one for the stream of events, so that none starves another.
export function turns(n) {
  const waiting = [];
  let running = 0;
  const next = () => {
    if (running === n || !waiting.length) return;
    running++;
    const { task, resolve, reject } = waiting.shift();
    task().then(resolve, reject).finally(() => {
      running--;
      next();
    });
  };
  return (task) => new Promise((resolve, reject) => {
    waiting.push({ task, resolve, reject });
    next();
  });
}
