//! Writes challenge pages and scripts into a folder, to be looked at and driven by browsers.
//!
//! ```text
//! cargo run -p portcullis-challenge --example challenge -- FOLDER
//! ```
//!
//! The pages are `{language}.html` for each language, and `relaxed.html`, `strict.html`, `memory.html`, `form.html`, `wait.html`,
//! `by-itself.html`, `brand.html` and `end.html` in English. Beside them lie `solver.js`, `renew.js`, `widget.js` and
//! `policy.txt`, the value of `Content-Security-Policy`. All have one nonce and puzzles that anybody could have
//! made: they are for tests.

#![expect(clippy::disallowed_methods, reason = "writes files")]

use std::path::Path;
use std::time::Duration;
use std::{env, fs, io};

use portcullis_challenge::page::{self, Asked, End, EndInputs, MemoryHard, PageInputs, Wait, WaitEnd};
use portcullis_challenge::{
    Binding, Brand, Colour, CspNonce, ENGLISH, KeyId, KeyRing, Logo, Puzzle, SigningKey, Strength, Texts, UnixMillis,
    return_target,
};

/// A shield, drawn for this example.
const LOGO: &str = "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHZpZXdCb3g9IjAgMCAyNCAyNCIgd2lkdGg9IjQ4IiBoZWlnaHQ9IjQ4Ij48cGF0aCBmaWxsPSIjMGE3ZDRmIiBkPSJNMTIgMSAzIDV2NmMwIDUuNSAzLjggMTAuNyA5IDEyIDUuMi0xLjMgOS02LjUgOS0xMlY1eiIvPjwvc3ZnPg==";

fn main() -> io::Result<()> {
    let folder = env::args().nth(1).ok_or_else(|| io::Error::other("expected the folder to write to"))?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    let nonce = CspNonce::new([7; 16]);
    let brand = Brand {
        name: Some("Shop Example".to_owned()),
        logo: Some(Logo::parse(LOGO).map_err(io::Error::other)?),
        colour: Colour::parse("#0a7d4f").map_err(io::Error::other)?,
    };
    let plain = Brand::default();
    let (relaxed, balanced, strict) =
        (puzzle(Strength::RELAXED)?, puzzle(Strength::BALANCED)?, puzzle(Strength::STRICT)?);
    let wait = Wait { token: "AQIDBAUG", path: "/.well-known/portcullis/wait", secs: 4, end: WaitEnd::Button };
    let page = PageInputs {
        nonce: &nonce,
        puzzle: &balanced,
        memory: None,
        redeem_path: "/.well-known/portcullis/redeem",
        solver_path: "/.well-known/portcullis/solver.js",
        wait: Some(wait),
        asked: Asked::Page,
        return_to: return_target("/origin"),
        reference_id: "01J9ZQ4Y8M6T3K2C5D7E9F1G3H",
        contact: Some("help@shop.example"),
        brand: &plain,
        texts: &ENGLISH,
    };
    let write = |name: &str, page: &PageInputs<'_>| {
        let mut out = String::new();
        page::render(page, &mut out);
        fs::write(folder.join(name), out)
    };
    for texts in Texts::all() {
        write(&format!("{}.html", texts.language), &PageInputs { texts, ..page })?;
    }
    write("relaxed.html", &PageInputs { puzzle: &relaxed, ..page })?;
    write("strict.html", &PageInputs { puzzle: &strict, ..page })?;
    let memory = Some(MemoryHard { mebibytes: 8, passes: 1, count: 2, difficulty_bits: 5 });
    write("memory.html", &PageInputs { puzzle: &relaxed, memory, ..page })?;
    write("form.html", &PageInputs { puzzle: &relaxed, asked: Asked::Form, ..page })?;
    write("no-wait.html", &PageInputs { wait: None, ..page })?;
    write("by-itself.html", &PageInputs { wait: Some(Wait { end: WaitEnd::ButtonOrRefresh, ..wait }), ..page })?;
    write("brand.html", &PageInputs { brand: &brand, ..page })?;
    let end = EndInputs {
        nonce: &nonce,
        end: End::NoCookies,
        return_to: page.return_to,
        reference_id: page.reference_id,
        contact: page.contact,
        brand: &brand,
        texts: &ENGLISH,
    };
    let mut out = String::new();
    page::render_end(&end, &mut out);
    fs::write(folder.join("end.html"), out)?;
    fs::write(folder.join("solver.js"), page::solver())?;
    fs::write(folder.join("renew.js"), page::renewal())?;
    fs::write(folder.join("widget.js"), page::widget(&ENGLISH))?;
    fs::write(folder.join("widget-ar.js"), page::widget(Texts::negotiate("ar")))?;
    fs::write(folder.join("policy.txt"), page::csp(&nonce))
}

fn puzzle(strength: Strength) -> io::Result<Puzzle> {
    let ring = KeyRing::new(&SigningKey::new(KeyId(1), [0x5a; 32]), &[]).map_err(io::Error::other)?;
    let here = Binding { site: "shop.example", route: "login", ..Binding::default() };
    let day = Duration::from_secs(86_400);
    Ok(Puzzle::issue(&ring, [3; 16], strength, &here, UnixMillis(1_760_000_000_000), day))
}
