//! `portcullis lookup`: what is known of addresses.

use std::io::{self, Write};
use std::net::IpAddr;
use std::process::ExitCode;

use portcullis_intel::{AddressFacts, NetworkClass};
use serde::Serialize;

use super::{intel, tell_error};
use crate::cli::{LookupArgs, OutputFormat};

#[derive(Serialize)]
struct Line {
    address: String,
    prefix: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    special_use: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asn: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    classes: Vec<&'static str>,
}

/// Looks the addresses up.
pub(crate) fn run(args: &LookupArgs) -> ExitCode {
    let Some(intel) = intel(args.config.as_deref(), &args.databases) else { return ExitCode::FAILURE };
    let mut output = io::stdout().lock();
    for address in &args.addresses {
        let line = line(*address, &intel.lookup(*address));
        let written = match args.format {
            OutputFormat::Text => output.write_all(line.text().as_bytes()),
            OutputFormat::Json => serde_json::to_writer(&mut output, &line)
                .map_err(io::Error::from)
                .and_then(|()| output.write_all(b"\n")),
        };
        if let Err(error) = written {
            tell_error(error);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn line(address: IpAddr, facts: &AddressFacts) -> Line {
    Line {
        address: address.to_string(),
        prefix: facts.prefix.to_string(),
        special_use: facts.special_use.map(|use_| use_.to_string()),
        asn: facts.asn.map(|asn| asn.0),
        organisation: facts.organisation.as_deref().map(printable),
        country: facts.country.map(|country| country.to_string()),
        classes: facts.classes.iter().map(NetworkClass::name).collect(),
    }
}

impl Line {
    fn text(&self) -> String {
        let mut text = format!("{}\n  prefix        {}\n", self.address, self.prefix);
        let mut row = |name: &str, value: Option<String>| {
            text.push_str(&format!("  {name:<13} {}\n", value.as_deref().unwrap_or("not known")))
        };
        if let Some(special) = &self.special_use {
            row("special use", Some(special.clone()));
            return text;
        }
        row("asn", self.asn.map(|asn| format!("AS{asn}")));
        row("organisation", self.organisation.clone());
        row("country", self.country.clone());
        row("classes", (!self.classes.is_empty()).then(|| self.classes.join(", ")).or(Some("none".to_owned())));
        text
    }
}

/// A text out of a database, without what a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}
