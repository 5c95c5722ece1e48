// A receiver of webhooks for the tests. It believes nothing: every request is verified with the reference library, under each of the secrets it was given.
//
// Started, it prints `receiver PORT`. POST /control/NAME {"secrets":[…],"plan":[…]} makes or changes an endpoint at /hook/NAME; GET /control/NAME gives what arrived there;
// the end of its standard input ends it. A plan is a list of what to do, one a request, the last one again and again: a status; or {"status","headers","body_bytes"}; or "hang",
// "drop" (the connection is closed without an answer).
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const endpoints = new Map();
const hanging = new Set();

function endpoint(name) {
	if (!endpoints.has(name)) {
		endpoints.set(name, { secrets: [], plan: [200], received: [], underWay: 0, mostUnderWay: 0 });
	}
	return endpoints.get(name);
}

function verifies(secret, body, headers) {
	try {
		new Webhook(secret).verify(body, headers);
		return true;
	} catch {
		return false;
	}
}

function act(step, request, response) {
	if (step === "hang") {
		hanging.add(response);
		return;
	}
	if (step === "drop") {
		request.socket.destroy();
		return;
	}
	const { status, headers = {}, body_bytes: bytes = 0 } = typeof step === "number" ? { status: step } : step;
	response.writeHead(status, headers);
	response.end(Buffer.alloc(bytes, 0x78));
}

function receive(x, request, body, response) {
	const text = body.toString("utf8");
	x.received.push({
		id: request.headers["webhook-id"],
		timestamp: Number(request.headers["webhook-timestamp"]),
		signatures: (request.headers["webhook-signature"] ?? "").split(" "),
		verified: x.secrets.map((secret) => verifies(secret, text, request.headers)),
		method: request.method,
		headers: request.headers,
		body: text,
		at: Date.now(),
	});
	const step = x.plan.length > 1 ? x.plan.shift() : x.plan[0];
	response.on("close", () => x.underWay--);
	act(step, request, response);
}

function control(x, request, body, response) {
	if (request.method === "POST") {
		Object.assign(x, JSON.parse(body));
	}
	response.setHeader("content-type", "application/json");
	response.end(JSON.stringify(x));
}

const server = createServer((request, response) => {
	const [, kind, name] = new URL(request.url, "http://x").pathname.split("/");
	const chunks = [];
	if (kind === "hook") {
		const x = endpoint(name);
		x.underWay++;
		x.mostUnderWay = Math.max(x.mostUnderWay, x.underWay);
	}
	request.on("data", (chunk) => chunks.push(chunk));
	request.on("end", () => {
		const handle = kind === "control" ? control : receive;
		handle(endpoint(name), request, Buffer.concat(chunks), response);
	});
});

server.listen(0, "127.0.0.1", () => console.log(`receiver ${server.address().port}`));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
