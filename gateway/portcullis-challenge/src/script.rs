//! Scripts, made smaller: they are sent with every challenge.

/// A script without its comments and without the spaces that mean nothing.
///
/// It reads our own scripts, which keep to what is simple: comments are lines of their own, texts stand
/// between single quotes and end on their line, and a regular expression holds neither a quote nor a
/// space. A test holds them to it. Lines stay, so nothing hangs on semicolons being inserted.
pub(crate) fn bare(script: &str) -> String {
    let mut out = String::with_capacity(script.len());
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")) {
        push_line(line, &mut out);
        out.push('\n');
    }
    out
}

fn push_line(line: &str, out: &mut String) {
    let mut before = ' ';
    let mut chars = line.chars().peekable();
    let mut in_text = false;
    while let Some(c) = chars.next() {
        if in_text {
            out.push(c);
            if c == '\\' {
                out.extend(chars.next());
            } else {
                in_text = c != '\'';
            }
        } else if c != ' ' || chars.peek().is_some_and(|after| needs_space(before, *after)) {
            out.push(c);
            in_text = c == '\'';
        } else {
            continue;
        }
        before = c;
    }
}

/// Whether two characters mean something else side by side: words grow together, and signs do.
fn needs_space(before: char, after: char) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    is_word(before) && is_word(after) || before == after && matches!(before, '+' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_nothing_is_left_out_and_the_rest_is_kept() {
        for (script, smaller) in [
            ("// why\n  var a = b + c;\n\n", "var a=b+c;\n"),
            ("a = b + +c - -d;", "a=b+ +c- -d;\n"),
            ("say('it is  so', ' ');", "say('it is  so',' ');\n"),
            ("say('it\\'s ', a)", "say('it\\'s ',a)\n"),
            ("return /a\\sb/.test(c) ? d : -1;", "return/a\\sb/.test(c)?d:-1;\n"),
            ("typeof a === 'b' && c in d", "typeof a==='b'&&c in d\n"),
            ("a\nb", "a\nb\n"),
        ] {
            assert_eq!(bare(script), smaller, "{script}");
        }
    }

    #[test]
    fn our_scripts_keep_to_what_is_read() {
        for script in [
            include_str!("../assets/solver.js"),
            include_str!("../assets/memory.js"),
            include_str!("../assets/run.js"),
            include_str!("../assets/evidence.js"),
            include_str!("../assets/page.js"),
            include_str!("../assets/renew.js"),
            include_str!("../assets/widget.js"),
        ] {
            for line in script.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
                assert!(!line.contains('`') && !line.contains(" /*") && !line.contains(" //"), "{line}");
                let quotes = line.matches('\'').count() - line.matches("\\'").count();
                assert_eq!(quotes % 2, 0, "a text ends on its line: {line}");
            }
        }
    }
}
