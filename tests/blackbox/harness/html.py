"""What a browser without script sees of a page: its forms and its text."""
from html.parser import HTMLParser
from urllib.parse import urljoin


class Form:
	def __init__(self, attributes):
		self.method = attributes.get("method", "get").upper()
		self.action = attributes.get("action", "")
		self.enctype = attributes.get("enctype", "application/x-www-form-urlencoded")
		self.inputs = [] # (type, name, value)

	def names(self, kind):
		return [name for k, name, _ in self.inputs if k == kind and name]

	def hidden(self):
		return {name: value for k, name, value in self.inputs if name and k in ("hidden",)}


class Page(HTMLParser):
	VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}

	def __init__(self, text):
		super().__init__(convert_charrefs=True)
		self.forms, self.text, self.tags, self.scripts, self.links = [], "", [], [], []
		self._form, self._skip = None, 0
		self.feed(text)
		self.close()

	def handle_starttag(self, tag, attributes):
		a = {k: v or "" for k, v in attributes}
		self.tags.append((tag, a))
		if tag == "form":
			self._form = Form(a)
			self.forms.append(self._form)
		elif tag in ("input", "select", "textarea", "button") and self._form is not None:
			self._form.inputs.append((a.get("type", "text" if tag == "input" else tag), a.get("name", ""), a.get("value", "")))
		elif tag == "script":
			self.scripts.append(a)
		elif tag == "a":
			self.links.append(a.get("href", ""))
		if tag in ("script", "style"):
			self._skip += 1

	def handle_endtag(self, tag):
		if tag == "form":
			self._form = None
		if tag in ("script", "style"):
			self._skip -= 1

	def handle_data(self, data):
		if not self._skip:
			self.text += data

	def upload_form(self):
		return next(f for f in self.forms if f.names("file"))

	def lookup_form(self):
		return next(f for f in self.forms if not f.names("file") and (f.names("text") or f.names("search") or f.names("number")))


def follow(server, r, most=5):
	"""Goes where a redirect leads, as a browser does."""
	while r.status_code in (301, 302, 303, 307, 308) and most:
		r, most = server.get(r.headers["Location"]), most - 1
	return r


def submit_upload(server, at, form, name, data, **fields):
	r = server.request("POST", urljoin(at, form.action), files={form.names("file")[0]: (name, data)}, data={**form.hidden(), **fields}, headers={"Accept": "text/html", "Origin": server.base})
	return follow(server, r)


def submit_lookup(server, at, form, text):
	kinds = form.names("text") + form.names("search") + form.names("number")
	assert form.method == "GET"
	return follow(server, server.get(urljoin(at, form.action), params={**form.hidden(), kinds[0]: text}, headers={"Accept": "text/html"}))
