"""The same from many threads."""
import threading


def together(n, work):
	"""Runs work(i) on n threads; the first exception is raised here."""
	failed = []

	def run(i):
		try:
			work(i)
		except BaseException as e: # noqa: B036 - told to the caller
			failed.append(e)
	threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
	for t in threads:
		t.start()
	for t in threads:
		t.join()
	if failed:
		raise failed[0]
