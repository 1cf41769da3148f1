// The custom element <portcullis-widget>: a proof of work for a form on any site. PROTOCOL.md, "The
// widget". The gateway puts TEXT before it: what it says, in one language.
var script = document.currentScript;
var home = script && script.src ? script.src.replace(/[^\/?#]*([?#].*)?$/, '') : '';
var LOOK = ':host{--ink:var(--portcullis-ink,#1b1b1f);--paper:var(--portcullis-paper,#fff);--key:var(--portcullis-key,#0b57d0);--edge:var(--portcullis-edge,#767680);display:block;max-width:20rem;font:1rem/1.4 system-ui,sans-serif}' +
  ':host([theme=dark]){--ink:var(--portcullis-ink,#ececf1);--paper:var(--portcullis-paper,#16161a);--key:var(--portcullis-key,#a8c7fa);--edge:var(--portcullis-edge,#8e8e99)}' +
  '@media(prefers-color-scheme:dark){:host(:not([theme=light])){--ink:var(--portcullis-ink,#ececf1);--paper:var(--portcullis-paper,#16161a);--key:var(--portcullis-key,#a8c7fa);--edge:var(--portcullis-edge,#8e8e99)}}' +
  '[hidden]{display:none!important}#box{box-sizing:border-box;padding:.75rem 1rem;border:1px solid var(--edge);border-radius:.5rem;background:var(--paper);color:var(--ink);overflow-wrap:anywhere}' +
  'p{margin:0}progress{display:block;width:100%;height:.75rem;margin-top:.5rem;accent-color:var(--key)}' +
  'button{font:inherit;min-height:2.75rem;margin-top:.5rem;padding:.25rem 1rem;border:1px solid var(--edge);border-radius:.5rem;background:transparent;color:inherit;cursor:pointer}' +
  'button:focus-visible{outline:3px solid var(--key);outline-offset:2px}';

// Codes after which a new puzzle helps.
var STALE = /^(expired|unknown-key|not-yet-valid|other-binding|spent)$/;

function make(name, attributes, parent) {
  var element = document.createElement(name);
  Object.keys(attributes).forEach(function (key) { element.setAttribute(key, attributes[key]); });
  parent.appendChild(element);
  return element;
}

class Widget extends HTMLElement {
  constructor() {
    super();
    this.state = 'idle';
    this.response = '';
    this.onSubmit = this.onSubmit.bind(this);
    this.onFocus = this.onFocus.bind(this);
    this.onShow = this.onShow.bind(this);
    var root = this.attachShadow({ mode: 'open' });
    try {
      var sheet = new CSSStyleSheet();
      sheet.replaceSync(LOOK);
      root.adoptedStyleSheets = [sheet];
    } catch (old) {
      var style = make('style', {}, root);
      if (script && script.nonce) style.nonce = script.nonce;
      style.textContent = LOOK;
    }
    this.box = make('div', { id: 'box', part: 'box' }, root);
    this.line = make('p', { role: 'status' }, this.box);
    this.bar = make('progress', { max: 1, value: 0 }, this.box);
    this.retry = make('button', { type: 'button' }, this.box);
    this.retry.onclick = () => this.start('retry');
  }

  connectedCallback() {
    if (!this.evidence) this.evidence = portcullisEvidence('widget', this.variant);
    this.box.lang = TEXT.lang;
    this.box.dir = TEXT.dir;
    this.bar.setAttribute('aria-label', TEXT.working);
    this.retry.textContent = TEXT.retry;
    this.form = this.closest('form');
    // On the document, so that it comes before whatever the form itself does when it is sent.
    document.addEventListener('submit', this.onSubmit, true);
    window.addEventListener('pageshow', this.onShow);
    if (this.form) this.form.addEventListener('focusin', this.onFocus);
    this.put('');
    this.show('idle');
    if ((this.getAttribute('start') || 'load') === 'load') this.start('load');
  }

  disconnectedCallback() {
    document.removeEventListener('submit', this.onSubmit, true);
    window.removeEventListener('pageshow', this.onShow);
    if (this.form) this.form.removeEventListener('focusin', this.onFocus);
    this.halt();
  }

  get variant() {
    return this.getAttribute('variant') === 'invisible' ? 'invisible' : 'inline';
  }

  get base() {
    return (this.getAttribute('base') || home).replace(/\/*$/, '/');
  }

  onFocus(event) {
    var start = this.getAttribute('start');
    // After a token has expired, the next thing that the person does asks for a new one.
    if (event.target !== this && (start === 'focus' || this.state === 'expired') && start !== 'submit' && start !== 'manual') this.start('focus');
  }

  // Back at a page that was left: its token has been sent, or has grown old meanwhile.
  onShow(event) {
    if (!event.persisted || !this.response) return;
    clearTimeout(this.timer);
    this.expire();
  }

  onSubmit(event) {
    if (!this.form || event.target !== this.form || this.response) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    this.pending = { by: event.submitter || null };
    this.start('submit');
  }

  start(trigger) {
    if (this.state === 'working' || this.state === 'done') return;
    this.evidence.interaction.trigger = /^(load|focus|submit|retry)$/.test(trigger) ? trigger : 'manual';
    this.show('working');
    this.tell('start', {});
    this.ask(1);
  }

  reset() {
    this.halt();
    this.put('');
    this.pending = null;
    this.show('idle');
  }

  halt() {
    this.turn = (this.turn || 0) + 1;
    clearTimeout(this.timer);
    if (this.stop) this.stop();
    this.stop = null;
    if (this.state === 'working') this.state = 'idle';
  }

  // Gets a puzzle, solves it, hands it in; `more` times again when only a new puzzle is needed.
  ask(more) {
    this.halt();
    this.state = 'working';
    var turn = this.turn, site = 'site=' + encodeURIComponent(this.getAttribute('site-key') || '');
    var current = act => answer => { if (turn === this.turn) act(answer); };
    var fail = current(code => {
      if (more > 0 && STALE.test(code)) this.ask(more - 1);
      else this.fail(code);
    });
    this.post('challenge', site, 3, current(puzzle => {
      if (puzzle.algorithm !== 'sha256') {
        fail('algorithm');
        return;
      }
      var work = { seed: puzzle.seed, bits: puzzle.difficulty_bits, count: puzzle.count };
      this.bar.max = puzzle.count;
      this.stop = portcullisRun(work, this.getAttribute('solver'), 8, 0, done => {
        if (done === this.bar.value) return;
        this.bar.value = done;
        this.tell('progress', { done: done, total: puzzle.count });
      }, (nonces, work, told) => {
        this.post('redeem', site + '&solution=' + puzzle.token + '.' + nonces + '&evidence=' + encodeURIComponent(this.evidence.text(work, told)), 5, current(answer => this.solve(answer)), fail);
      });
    }), fail);
  }

  post(path, body, tries, then, fail) {
    fetch(this.base + path, {
      method: 'POST', mode: 'cors', credentials: 'omit', cache: 'no-store', body: body,
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' }
    }).then(answer => {
      if (answer.ok) return answer.json().then(then);
      if (answer.status === 503 && tries > 0) {
        setTimeout(() => this.post(path, body, tries - 1, then, fail), 2000);
        return null;
      }
      return answer.json().then(problem => fail(String(problem.code || 'refused')), () => fail('refused'));
    }).catch(() => fail('offline'));
  }

  solve(answer) {
    this.put(String(answer.response));
    this.show('done');
    // A little before the end, as the token still has to reach the backend and be checked.
    this.timer = setTimeout(() => this.expire(), Math.max(5, answer.expires_in_secs - 15) * 1000);
    this.tell('solved', { response: this.response });
    var pending = this.pending;
    this.pending = null;
    if (!pending || !this.form) return;
    try {
      this.form.requestSubmit(pending.by);
    } catch (gone) {
      this.form.requestSubmit();
    }
  }

  expire() {
    this.put('');
    this.show('expired');
    this.tell('expired', {});
  }

  fail(code) {
    this.pending = null;
    this.show('failed');
    this.tell('error', { code: code });
  }

  // Puts the token into the fields that the form is sent with.
  put(response) {
    this.response = response;
    ('portcullis-response ' + (this.getAttribute('response-field') || '')).trim().split(/\s+/).forEach(name => {
      var field = Array.prototype.find.call(this.children, child => child.name === name) || make('input', { type: 'hidden', name: name }, this);
      field.value = response;
    });
  }

  show(state) {
    this.state = state;
    this.setAttribute('state', state);
    this.box.hidden = this.variant === 'invisible' && state !== 'failed';
    this.bar.hidden = state !== 'working';
    if (state === 'working') this.bar.value = 0;
    this.retry.hidden = state !== 'failed';
    this.line.textContent = TEXT[state] || TEXT.idle;
  }

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent('portcullis-' + name, { bubbles: true, composed: true, detail: detail }));
  }
}

if (window.customElements && !customElements.get('portcullis-widget')) customElements.define('portcullis-widget', Widget);
