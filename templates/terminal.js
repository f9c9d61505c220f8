// A serial console: what comes is shown as lines of text, and keys that are
// pressed in it are sent. Shift-Tab leaves it.
"use strict";

(() => {
  const keys = {
    Enter: "\r", Backspace: "\x7f", Tab: "\t", Escape: "\x1b",
    ArrowUp: "\x1b[A", ArrowDown: "\x1b[B", ArrowRight: "\x1b[C",
    ArrowLeft: "\x1b[D", Home: "\x1b[H", End: "\x1b[F", Delete: "\x1b[3~",
  };
  const most = 2000;
  const sequence = /\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][0-9A-B]|[=>78A-Z])/g;

  const open = (screen) => {
    const state = document.getElementById("terminal-state");
    const form = document.getElementById("terminal-line");
    const bytes = new TextEncoder();
    const text = new TextDecoder();
    let lines = [""], at = 0, rest = "", from = null, drawn = false, socket;

    const draw = () => {
      drawn = false;
      const ends = screen.scrollHeight - screen.scrollTop - screen.clientHeight < 40;
      screen.textContent = lines.join("\n");
      if (ends) screen.scrollTop = screen.scrollHeight;
    };
    const put = (some) => {
      some = (rest + some).replace(sequence, "");
      const cut = some.lastIndexOf("\x1b");
      rest = cut >= 0 && some.length - cut < 64 ? some.slice(cut) : "";
      for (const c of cut >= 0 && rest ? some.slice(0, cut) : some) {
        const line = lines[lines.length - 1];
        if (c === "\n") { lines.push(""); at = 0; }
        else if (c === "\r") at = 0;
        else if (c === "\b") at = Math.max(0, at - 1);
        else if (c >= " " || c === "\t") {
          lines[lines.length - 1] = line.slice(0, at) + c + line.slice(at + 1);
          at += 1;
        }
      }
      lines = lines.slice(-most);
      if (!drawn) { drawn = true; requestAnimationFrame(draw); }
    };
    const told = (event) => {
      switch (event.event) {
        case "opened": from = event.from;
        // What follows holds for both.
        case "state":
          return event.state === "attached" ? "Connected." :
            event.state === "opening" ? "The console is about to be opened." : event.reason;
        case "writer": return event.you ? "You type." : event.who ? `${event.who} types.` : "Nobody types.";
        case "power":
          document.getElementById("terminal-off").hidden = !event.off;
          return null;
        case "lost": from += event.bytes; return `${event.bytes} bytes were lost.`;
        default: return event.reason;
      }
    };
    const send = (typed) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(bytes.encode(typed));
    };
    const connect = (wait) => {
      if (!document.contains(screen)) return;
      const where = new URL(screen.dataset.stream, location.href);
      where.protocol = where.protocol.replace("http", "ws");
      where.search = from === null ? "control=true&history=16384" : `control=true&from=${from}`;
      socket = new WebSocket(where);
      socket.binaryType = "arraybuffer";
      socket.onmessage = ({ data }) => {
        wait = 1000;
        if (typeof data === "string") {
          const fresh = from === null;
          const news = told(JSON.parse(data));
          if (news) state.textContent = news;
          if (fresh && from !== null) { lines = [""]; at = 0; draw(); }
          return;
        }
        from += data.byteLength;
        put(text.decode(data, { stream: true }));
      };
      socket.onclose = ({ code, reason }) => {
        state.textContent = reason || "The connection was lost; it is tried again.";
        if (code !== 1008) setTimeout(connect, wait, Math.min(wait * 2, 30000));
      };
    };

    screen.addEventListener("keydown", (event) => {
      if (event.metaKey || event.altKey || event.isComposing) return;
      if (event.key === "Tab" && event.shiftKey) return;
      let typed = keys[event.key];
      if (event.ctrlKey) {
        // Copy what is marked; paste comes as an event of its own.
        if (event.key === "v" || (event.key === "c" && String(getSelection()))) return;
        const code = event.key.toUpperCase().charCodeAt(0);
        typed = event.key.length === 1 && code > 63 && code < 96 ? String.fromCharCode(code - 64) : undefined;
      } else if (event.key.length === 1) typed = event.key;
      if (typed === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      send(typed);
    });
    screen.addEventListener("paste", (event) => {
      event.preventDefault();
      send(event.clipboardData.getData("text").replace(/\r?\n/g, "\r"));
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send(`${form.elements.line.value}\r`);
      form.elements.line.value = "";
    });
    form.addEventListener("click", (event) => {
      const what = event.target.dataset.terminal;
      if (what === "break") send("\x03");
      if (what === "take") socket.send('{"take":true}');
      if (what) screen.focus();
    });
    screen.scrollTop = screen.scrollHeight;
    connect(1000);
    addEventListener("pagehide", () => socket.close());
  };

  let known;
  const look = () => {
    const screen = document.getElementById("terminal");
    if (screen && screen !== known) open(screen);
    known = screen;
  };
  document.addEventListener("htmx:after:swap", look);
  look();
})();
