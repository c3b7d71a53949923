// Asks the server what a picture shows: one request at a time, and then about the newest picture only.

export class Recogniser {
  #told;
  #busy = false;
  #next = null; // what is asked once the answer is there

  // told(found, more): the answer to POST /predict; or {error}; or {}, where there was no picture; more: another answer
  // will follow. Before the first of them, told(null, true).
  constructor(told) {
    this.#told = told;
  }

  // picture(): promises a file, or null where there is nothing to ask about
  async ask(picture) {
    this.#next = picture;
    if (this.#busy) return;
    this.#busy = true;
    this.#told(null, true);
    while (this.#next) {
      const newest = this.#next;
      this.#next = null;
      const found = await recognised(await newest());
      this.#told(found, this.#next !== null);
    }
    this.#busy = false;
  }
}

async function recognised(file) {
  if (!file) return {};
  try {
    const headers = { "Content-Type": file.type };
    const response = await fetch("predict?seen=true", { method: "POST", headers, body: file });
    return await response.json();
  } catch {
    return { error: "The server does not answer." };
  }
}
