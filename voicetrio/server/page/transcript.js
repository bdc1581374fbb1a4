// The conversation as it is spoken: what the user said, what the agent said, and how much of that was heard.

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

export class Transcript {
  constructor(list, empty) {
    this.list = list;
    this.empty = empty;
    this.interim = null;
    this.replies = new Map();
  }

  /** Forget the conversation before. */
  clear() {
    this.list.replaceChildren();
    this.empty.hidden = false;
    this.interim = null;
    this.replies.clear();
  }

  entry(kind, who) {
    const entry = element("li", `entry ${kind}`);
    const said = element("p", "said");
    entry.append(element("p", "who", who), said);
    this.list.append(entry);
    this.empty.hidden = true;
    this.follow();
    return { entry, said };
  }

  /** Stay at the end, unless the user scrolled up to read. */
  follow() {
    const page = document.documentElement;
    if (page.scrollHeight - page.scrollTop - page.clientHeight < 320) page.scrollTop = page.scrollHeight;
  }

  // --- the user ---

  hearing(text) {
    if (!this.interim) {
      this.interim = this.entry("user interim", "You");
      this.interim.entry.ariaLive = "off";
    }
    this.interim.said.textContent = text || "…";
    this.follow();
  }

  /** What was taken for speech held no words. */
  heardNothing() {
    this.interim?.entry.remove();
    this.interim = null;
    this.empty.hidden = this.list.childElementCount > 0;
  }

  userSaid(text) {
    const { entry, said } = this.interim ?? this.entry("user", "You");
    entry.className = "entry user";
    entry.ariaLive = null;
    said.textContent = text;
    this.interim = null;
    this.follow();
  }

  // --- the agent ---

  reply(name) {
    if (!this.replies.has(name)) this.replies.set(name, { ...this.entry("agent", "Agent"), words: [] });
    return this.replies.get(name);
  }

  /** The agent is about to say `text` at `position`; said again after a pause, it moves. */
  word(name, text, position) {
    const reply = this.reply(name);
    while (reply.words.length && reply.words.at(-1).position >= position) reply.words.pop().span.remove();
    const span = element("span", "coming", reply.words.length ? ` ${text}` : text);
    reply.words.push({ text, position, span, heard: false });
    reply.said.append(span);
    this.follow();
  }

  /** What had not been heard of a paused reply will be told again. */
  paused(name) {
    const reply = this.replies.get(name);
    if (reply) reply.words = reply.words.filter((word) => {
      if (!word.heard) word.span.remove();
      return word.heard;
    });
  }

  /** What was on its way when the network was lost is told and sent again. */
  rewound() {
    for (const name of this.replies.keys()) this.paused(name);
  }

  /** Everything before `position` was heard. */
  heardTo(position) {
    for (const { words } of this.replies.values())
      for (const word of words)
        if (!word.heard && word.position < position) {
          word.heard = true;
          word.span.className = "";
        }
  }

  ended(name, text, heard, how) {
    const reply = this.reply(name);
    reply.words = [];
    reply.said.textContent = heard;
    const rest = text.startsWith(heard) ? text.slice(heard.length).trim() : "";
    if (rest) {
      const cut = element("s", "", rest);
      cut.title = "not heard";
      reply.said.append(heard ? " " : "", element("span", "sr", "(not heard:) "), cut);
    }
    if (how === "interrupted") this.note(name, "You interrupted.");
    if (how === "failed") this.note(name, "The agent could not finish.");
    this.replies.delete(name);
    this.follow();
    return reply.entry;
  }

  retracted(name) {
    this.replies.get(name)?.entry.remove();
    this.replies.delete(name);
  }

  note(name, text) {
    this.replies.get(name)?.entry.append(element("p", "note", text));
  }

  /** Show what the times of a turn were: `[name, milliseconds]` each, the whole first. */
  timings(name, rows) {
    const reply = this.reply(name);
    reply.entry.querySelector(".timings")?.remove();
    const list = element("dl", "timings");
    rows.forEach(([label, ms], index) => {
      const row = element("div", index ? "" : "total");
      row.append(element("dt", "", label), element("dd", "", `${Math.round(ms)} ms`));
      list.append(row);
    });
    reply.entry.append(list);
  }
}
