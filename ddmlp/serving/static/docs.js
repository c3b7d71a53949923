// Renders openapi.json as a page.

import { make } from "./make.js";

const { info, paths, components } = await (await fetch("openapi.json")).json();

// A schema as text, with its references resolved.
function text(schema) {
  return JSON.stringify(schema, (_, part) => (part?.$ref ? components.schemas[part.$ref.split("/").at(-1)] : part), 1);
}

// Each media type, with its schema to unfold.
function content(found = {}) {
  return Object.entries(found).map(([kind, { schema }]) =>
    schema ? make("details", "", make("summary", kind), make("pre", text(schema))) : make("p", kind));
}

function route(path, method, about) {
  const section = make("section", "", make("h2", `${method.toUpperCase()} ${path}`), make("p", about.summary));
  if (about.description) section.append(make("p", about.description));
  for (const { name, schema, description } of about.parameters ?? []) {
    const values = (schema.$ref ? components.schemas[schema.$ref.split("/").at(-1)].enum : ["true"]).join(" or ");
    section.append(make("p", `?${name}=${values}: ${description}`));
  }
  if (about.requestBody) section.append(make("h3", "Request body"), ...content(about.requestBody.content));
  section.append(make("h3", "Responses"));
  for (const [status, { description, content: found }] of Object.entries(about.responses)) {
    section.append(make("p", `${status}: ${description}`));
    if (status === "200") section.append(...content(found));
  }
  return section;
}

document.getElementById("about").textContent = info.description;
const at = new URL("predict", location);
const shell = `# a picture
curl --data-binary @picture.png -H 'Content-Type: image/png' ${at}
# an image as rows of numbers, 0 (paper) to 255 (ink); or a list of such images, or of pictures in base64
curl --data-binary @images.json -H 'Content-Type: application/json' ${at}`;
const answer = '{"class": 7, "probabilities": [0.0001, ...], "model": {"step": 28140, ...}}';
const batch = "For a list, the member \u201cpredictions\u201d has one such object for each image, without the model.";
const short = [make("pre", shell), make("p", "The answer to one image:"), make("pre", answer), make("p", batch)];
document.getElementById("routes").append(make("h2", "Quick start"), ...short);
for (const [path, methods] of Object.entries(paths)) {
  for (const [method, about] of Object.entries(methods)) {
    document.getElementById("routes").append(route(path, method, about));
  }
}
