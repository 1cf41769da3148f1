//! Whether messages are coloured.

use std::io::IsTerminal;

use portcullis_policy::Style;

/// Colours where a person looks at the stream and has not said no (<https://no-color.org>).
pub(crate) fn style_for(stream: &impl IsTerminal) -> Style {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted && stream.is_terminal() { Style::Colour } else { Style::Plain }
}
