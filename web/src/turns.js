// At most n tasks at once, the others in the order they came. A browser opens six connections to one server; uploads and waiting
// reads each get a share of them, so that neither starves the other.
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
