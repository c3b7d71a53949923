// Asks the server what a picture shows: one request at a time, and always about the newest picture.

export class Recogniser {
  #told;
  #explained;
  #busy = false;
  #last = null; // the newest picture
  #next = null; // the next picture, to be sent after the answer to the current one

  // told(found, more) is called with the answer to POST /predict, with {error}, or with {} without a picture; more:
  // another answer will follow. Before the first answer, told(null, true) is called. explained(): whether the answers
  // are to be explained.
  constructor(told, explained) {
    this.#told = told;
    this.#explained = explained;
  }

  // Asks about the newest picture again.
  again() {
    if (this.#last) this.ask(this.#last);
  }

  // picture(): promises a file, or null if there is no picture
  async ask(picture) {
    this.#last = this.#next = picture;
    if (this.#busy) return;
    this.#busy = true;
    this.#told(null, true);
    while (this.#next) {
      const newest = this.#next;
      this.#next = null;
      const found = await recognised(await newest(), this.#explained());
      this.#told(found, this.#next !== null);
    }
    this.#busy = false;
  }
}

async function recognised(file, explained) {
  if (!file) return {};
  try {
    const headers = { "Content-Type": file.type };
    const response = await fetch(`predict?seen=true&explain=${explained}`, { method: "POST", headers, body: file });
    return await response.json();
  } catch {
    return { error: "The server does not respond." };
  }
}
