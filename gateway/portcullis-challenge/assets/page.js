// The page: it directs the work, shows it, hands it in, and says what can be done when it fails.

var box = document.getElementById('challenge');
var bar = document.getElementById('bar');
var line = document.getElementById('line');
var live = document.getElementById('live');
var show = window.portcullisShow;
var memory = text('memory').split(' ').map(Number), hard = memory.length > 1;
var total = Number(text('count')) + (hard ? memory[2] : 0);
var evidence = portcullisEvidence('page', 'page');
var began = 0, spokenAt = 0, shownAt = 0;

function text(name) { return box.getAttribute('data-' + name); }

// Whether this browser will keep the cookie. Without it the work would be for nothing, and the
// page would come again and again.
function keepsCookies() {
  document.cookie = 'portcullis-probe=1; path=/; max-age=60; SameSite=Lax';
  var kept = document.cookie.indexOf('portcullis-probe=1') >= 0;
  document.cookie = 'portcullis-probe=; path=/; max-age=0; SameSite=Lax';
  return kept;
}

// How often in a row this tab was let through and yet came back here within a minute.
function passes(change) {
  try {
    var now = Date.now(), kept = (sessionStorage.getItem('portcullis-passes') || '0 0').split(' ');
    var count = now - Number(kept[1]) < 60000 ? Number(kept[0]) : 0;
    if (change) sessionStorage.setItem('portcullis-passes', change(count) + ' ' + now);
    return count;
  } catch (blocked) {
    return 0;
  }
}

function duration(ms) {
  var amount = Math.max(1, Math.ceil(ms / 1000)), unit = 'second';
  if (amount > 90) { amount = Math.ceil(amount / 60); unit = 'minute'; }
  try {
    return new Intl.NumberFormat(document.documentElement.lang, { style: 'unit', unit: unit, unitDisplay: 'long' }).format(amount);
  } catch (old) {
    return amount + (unit === 'second' ? ' s' : ' min');
  }
}

function say(name) {
  line.textContent = live.textContent = text(name);
}

// What is seen changes four times a second; what is spoken, every five seconds. The remaining time is
// that of what is left, at the speed measured so far.
function progress(done, spent, left) {
  var now = Date.now();
  bar.value = done;
  if (now - shownAt < 250 || now - began < 500) return;
  shownAt = now;
  line.textContent = text('progress').replace('{done}', done).replace('{total}', total).replace('{left}', duration(left * (now - began) / spent));
  if (now - spokenAt >= 5000) {
    spokenAt = now;
    live.textContent = line.textContent;
  }
}

function send(body, tries) {
  var request = new XMLHttpRequest();
  say('sending');
  request.open('POST', text('redeem'));
  request.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded');
  request.onload = function () {
    if (request.status >= 200 && request.status < 300) {
      passes(function (count) { return count + 1; });
      arrive();
    } else if (request.status === 503 && tries < 5) {
      setTimeout(function () { send(body, tries + 1); }, 2000);
    } else {
      show('refused');
    }
  };
  request.onerror = function () {
    show('offline', function () { show(''); send(body, 0); });
  };
  request.send(body);
}

function arrive() {
  var target = text('return'), again = document.getElementById('again');
  if (again) {
    // A form met the check. The browser still holds what was typed, and asks before it sends it.
    document.getElementById('resend').onclick = function () { location.reload(); };
    document.getElementById('back').onclick = function () { history.back(); };
    document.getElementById('work').hidden = document.getElementById('form').hidden = true;
    again.hidden = false;
    live.textContent = again.firstElementChild.textContent;
  } else {
    say('done');
    // Reloading keeps the fragment; going to the same address with it would not load anything.
    if (target === location.pathname + location.search) location.reload();
    else location.replace(target);
  }
}

window.onerror = null;
try {
  if (!keepsCookies() || passes() >= 2) {
    show('no-cookies', function () {
      passes(function () { return 0; });
      location.reload();
    });
  } else {
    show('');
    say('starting');
    began = Date.now();
    bar.max = total;
    portcullisRun({
      seed: text('seed'), bits: Number(text('bits')), count: Number(text('count')),
      memory: hard ? { mebibytes: memory[0], passes: memory[1], count: memory[2], bits: memory[3] } : null
    }, text('solver'), 8, 0, progress, function (nonces, work, told) {
      bar.value = total;
      send('solution=' + text('token') + '.' + nonces + '&evidence=' + encodeURIComponent(evidence.text(work, told)), 0);
    });
  }
} catch (fault) {
  show('failed');
}
