// What the browser says about itself, for the gateway to judge: PROTOCOL.md, "Evidence".
//
// Nothing here identifies a device: no canvas, fonts, sound or graphics, and nothing is kept.
function portcullisEvidence(by, variant) {
  'use strict';
  var n = navigator, began = performance.now(), pointerAt = -1e3, odd = [];
  var counts = { variant: variant, trigger: 'load', ms: 0, focus: 0, blur: 0, keys: 0, pointer: 0, clicks: 0, hidden: 0, visible: true };

  function on(target, type, act) {
    target.addEventListener(type, act, { capture: true, passive: true });
  }
  function count(name) {
    // What a script of the page or of an extension makes up was done by nobody.
    return function (event) { if (event.isTrusted) counts[name]++; };
  }
  on(window, 'focus', count('focus'));
  on(window, 'blur', count('blur'));
  on(window, 'keydown', count('keys'));
  on(window, 'click', count('clicks'));
  on(window, 'pointermove', function (event) {
    if (!event.isTrusted || performance.now() - pointerAt < 1000) return;
    pointerAt = performance.now();
    counts.pointer++;
  });
  on(document, 'visibilitychange', function () { if (document.hidden) counts.hidden++; });

  function cut(text, length) {
    return String(text || '').replace(/[^\x20-\x7e]/g, '?').slice(0, length);
  }
  function number(value) {
    return typeof value === 'number' && value >= 0 ? Math.min(Math.round(value), 1e6) : null;
  }
  function native(act) {
    return /\[native code\]/.test(Function.prototype.toString.call(act));
  }
  // A check that fails in this browser found nothing.
  function note(name, check) {
    try { if (check()) odd.push(name); } catch (missing) { return; }
  }

  var ua = cut(n.userAgent, 256), chrome = /Chrome\/(\d+)/.exec(ua), phone = /Mobile|Android|;\swv/.test(ua);
  note('webdriver-own', function () { return Object.prototype.hasOwnProperty.call(n, 'webdriver'); });
  note('webdriver-patched', function () {
    var getter = Object.getOwnPropertyDescriptor(Navigator.prototype, 'webdriver').get;
    if (!native(getter)) return true;
    // The browser's own refuses to be asked of anything but a navigator.
    try { getter.call(Navigator.prototype); } catch (refused) { return false; }
    return true;
  });
  note('permissions-patched', function () { return !native(n.permissions.query); });
  note('tostring-patched', function () {
    var text = Function.prototype.toString;
    return !native(text) || Object.prototype.hasOwnProperty.call(text, 'prototype');
  });
  note('plugins-none', function () { return n.pdfViewerEnabled && n.plugins.length === 0; });
  note('plugins-fake', function () { return Object.prototype.toString.call(n.plugins) !== '[object PluginArray]'; });
  note('languages-none', function () { return !n.languages.length || n.languages[0] !== n.language; });
  note('chrome-missing', function () { return chrome && !phone && !/Electron|QtWebEngine/.test(ua) && !window.chrome; });
  note('hints-missing', function () { return chrome && chrome[1] > 89 && !/;\swv/.test(ua) && window.isSecureContext && !n.userAgentData; });
  note('engine', function () {
    return /Firefox\//.test(ua) !== ('mozInnerScreenX' in window || CSS.supports('-moz-orient', 'block'));
  });
  try {
    if (window === top && Notification.permission === 'denied') {
      n.permissions.query({ name: 'notifications' }).then(function (answer) {
        if (answer.state === 'prompt') odd.push('notifications');
      }, function () {});
    }
  } catch (missing) {
    // Neither notifications nor permissions here.
  }

  // The globals that tools leave behind, by the names of the tools.
  function automation() {
    var names = ' ', found = [];
    [window, document].forEach(function (place) {
      names += Object.getOwnPropertyNames(place).join(' ') + ' ';
    });
    [
      ['selenium', /\s(_?_?[sS]elenium\w*|_Selenium_IDE_Recorder|call(ed)?Selenium|__(webdriver|driver|fxdriver)_\w+)\s/],
      ['chromedriver', /\s(\$?cdc_\w{10,}|\$chrome_asyncScriptInfo|\$wdc_)\s/],
      ['playwright', /\s(__playwright\w*|__pwInitScripts|__pw_\w+)\s/],
      ['puppeteer', /\s(__puppeteer\w*|puppeteer_\w+)\s/],
      ['phantom', /\s(_phantom|callPhantom|__phantomas)\s/],
      ['nightmare', /\s__nightmare\s/],
      ['cypress', /\s(Cypress|__cypress\w*)\s/],
      ['dom-automation', /\sdomAutomation(Controller)?\s/],
      ['watir', /\s__lastWatir\w+\s/]
    ].forEach(function (tool) {
      if (tool[1].test(names)) found.push(tool[0]);
    });
    return found.slice(0, 8);
  }

  function hints() {
    var data = n.userAgentData;
    return data ? {
      brands: (data.brands || []).slice(0, 8).map(function (brand) { return cut(brand.brand, 32) + '/' + cut(brand.version, 8); }),
      mobile: !!data.mobile,
      platform: cut(data.platform, 32)
    } : null;
  }

  function differs(told) {
    return told && [['ua', n.userAgent], ['platform', n.platform], ['languages', n.languages], ['cores', n.hardwareConcurrency]].filter(function (pair) {
      return told[pair[0]] !== undefined && String(told[pair[0]]) !== String(pair[1]);
    }).map(function (pair) { return pair[0]; });
  }

  return {
    interaction: counts,
    // The field's value. It must never keep the solution from being sent.
    text: function (work, told) {
      try {
        counts.ms = Math.round(performance.now() - began);
        counts.visible = !document.hidden;
        return JSON.stringify({
          v: 1,
          by: by,
          webdriver: typeof n.webdriver === 'boolean' ? n.webdriver : null,
          automation: automation(),
          odd: odd,
          ua: ua,
          platform: cut(n.platform, 64),
          languages: Array.prototype.slice.call(n.languages || [], 0, 8).map(function (language) { return cut(language, 35); }),
          hints: hints(),
          viewport: [innerWidth, innerHeight, outerWidth, outerHeight, screen.width, screen.height].map(number),
          touch: number(n.maxTouchPoints),
          cores: number(n.hardwareConcurrency),
          work: work,
          differs: differs(told),
          interaction: counts
        });
      } catch (fault) {
        return '';
      }
    }
  };
}
