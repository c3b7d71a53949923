// What openapi.json says, for people.

const make = (tag, text, ...children) => {
  const made = document.createElement(tag);
  made.textContent = text;
  made.append(...children);
  return made;
};

const code = (schema) => make("pre", JSON.stringify(schema, null, 1));

function content(found = {}) {
  return Object.entries(found).flatMap(([kind, { schema }]) => [make("h4", kind), ...(schema ? [code(schema)] : [])]);
}

function route(path, method, about) {
  const section = make("section", "", make("h2", `${method.toUpperCase()} ${path}`), make("p", about.summary));
  if (about.description) section.append(make("p", about.description));
  for (const { name, description } of about.parameters ?? []) section.append(make("p", `?${name}=true: ${description}`));
  if (about.requestBody) section.append(make("h3", "The body"), ...content(about.requestBody.content));
  section.append(make("h3", "Answers"));
  for (const [status, { description, content: found }] of Object.entries(about.responses)) {
    section.append(make("p", `${status}: ${description}`));
    if (status === "200") section.append(...content(found));
  }
  return section;
}

const { info, paths } = await (await fetch("openapi.json")).json();
document.getElementById("about").textContent = info.description;
const shell = `curl --data-binary @picture.png -H 'Content-Type: image/png' ${new URL("predict", location)}`;
document.getElementById("routes").append(make("h2", "In short"), make("pre", shell));
for (const [path, methods] of Object.entries(paths)) {
  for (const [method, about] of Object.entries(methods)) {
    document.getElementById("routes").append(route(path, method, about));
  }
}
