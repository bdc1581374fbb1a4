// The text as it was typed, with each word marked while it is heard.

export class Words {
  constructor(element) {
    this.element = element;
    this.marks = [];          // {span, start, end} of the words that are spoken, in order
    this.next = 0;            // the span where the next word is looked for
    this.now = -1;
  }

  show(text) {
    this.marks = [];
    this.next = 0;
    this.now = -1;
    this.spans = [];
    this.element.replaceChildren(...text.split(/(\s+)/).filter(Boolean).map((piece) => {
      if (!piece.trim()) return document.createTextNode(piece);
      const span = document.createElement("span");
      span.className = "word coming";
      span.textContent = piece;
      this.spans.push(span);
      return span;
    }));
  }

  /** Take in words with their times: `[{word, start_time, end_time, spoken}]`. */
  add(words) {
    for (const { word, start_time: start, end_time: end, spoken } of words) {
      const at = this.spans.findIndex((span, index) => index >= this.next && matches(span.textContent, word));
      if (at < 0) continue;   // markup, or a word that the text does not have
      this.next = at + 1;
      const span = this.spans[at];
      span.title = spoken;
      this.marks.push({ span, start, end });
    }
  }

  /** Mark the word that is heard at `seconds`. */
  mark(seconds) {
    let now = this.now;
    while (now + 1 < this.marks.length && this.marks[now + 1].start <= seconds) now += 1;
    if (now === this.now) return;
    for (let index = Math.max(this.now, 0); index <= now; index += 1) {
      const { span } = this.marks[index];
      span.classList.remove("coming");
      span.classList.toggle("now", index === now);
    }
    this.now = now;
  }

  end() {
    for (const span of this.element.querySelectorAll(".now")) span.classList.remove("now");
  }
}

function matches(shown, word) {
  return shown === word || shown.includes(word);
}
