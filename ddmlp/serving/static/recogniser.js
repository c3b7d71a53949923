// Asks the server what a picture shows: one request at a time, and always about the newest picture.

export class Recogniser {
  #told;
  #busy = false;
  #next = null; // the next picture, to be sent after the answer to the current one

  // told(found, more) is called with the answer to POST /predict, with {error}, or with {} without a picture; more:
  // another answer will follow. Before the first answer, told(null, true) is called.
  constructor(told) {
    this.#told = told;
  }

  // picture(): promises a file, or null if there is no picture
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
    return { error: "The server does not respond." };
  }
}
