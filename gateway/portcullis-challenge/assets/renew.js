// Renews a clearance before it ends, on pages of the site that include this script.
var base = document.currentScript.src.replace(/[^\/]*$/, '');
var evidence = portcullisEvidence('renewal', 'renewal');

function post(path, body, then) {
  var request = new XMLHttpRequest();
  request.open('POST', path);
  request.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded');
  // Whatever fails, it stops: the page of the next challenge is better at saying why.
  request.onload = function () { if (request.status >= 200 && request.status < 300) then(request); };
  request.send(body);
}

function later(secs) {
  // Not all tabs at once.
  setTimeout(ask, (Math.min(Math.max(secs, 30), 86400) + Math.random() * 20) * 1000);
}

function ask() {
  if (document.hidden) {
    document.addEventListener('visibilitychange', ask, { once: true });
    return;
  }
  post(base + 'renew', '', function (request) {
    if (request.status === 204) return;
    var answer = JSON.parse(request.responseText), puzzle = answer.challenge;
    if (puzzle && puzzle.algorithm !== 'sha256') return;
    if (!puzzle) {
      later(answer.ask_again_secs);
      return;
    }
    portcullisRun({ seed: puzzle.seed, bits: puzzle.difficulty_bits, count: puzzle.count }, base + 'solver.js', 1, 50, function () {}, function (nonces, work, told) {
      post(puzzle.redeem, 'solution=' + puzzle.token + '.' + nonces + '&evidence=' + encodeURIComponent(evidence.text(work, told)), function () { later(60); });
    });
  });
}

later(60);
