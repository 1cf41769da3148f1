//! `portcullis sites`: the sites that are not proxied, through the admin listener of a running gateway.

use std::process::ExitCode;

use super::ban::{Ask, Listener, written};
use crate::cli::{OutputFormat, SitesUsageArgs};
use crate::gateway::sites::SiteUsage;
use crate::intel::fetch::printable;

/// What was counted of each site this month.
pub(crate) fn usage(args: &SitesUsageArgs) -> ExitCode {
    let asked =
        Listener::of(&args.admin).and_then(|listener| listener.ask::<Vec<SiteUsage>>(Ask::Other("/sites", None)));
    let Ok(usage) = asked else { return ExitCode::FAILURE };
    match args.format {
        OutputFormat::Text => written(&table(&usage)),
        OutputFormat::Json => {
            let line = |site: &SiteUsage| serde_json::to_string(site).map(|line| line + "\n").unwrap_or_default();
            written(&usage.iter().map(line).collect::<String>())
        }
    }
}

fn table(usage: &[SiteUsage]) -> String {
    let Some(first) = usage.first() else { return "no sites\n".to_owned() };
    let heads = ["site", "solved", "failed", "blocked", "counted", "allowance", "siteverify"].map(str::to_owned);
    let rows: Vec<[String; 7]> = usage.iter().map(row).collect();
    let mut widths = [0; 7];
    for row in rows.iter().chain([&heads]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = format!("{} (UTC)\n", printable(&first.month));
    for row in [&heads].into_iter().chain(&rows) {
        let cells = row.iter().zip(widths).enumerate();
        let cells = cells.map(|(at, (cell, width))| match at {
            0 => format!("{cell:width$}"),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn row(site: &SiteUsage) -> [String; 7] {
    [
        printable(&site.site),
        site.solved.to_string(),
        site.failed_redeems.to_string(),
        site.enforced_blocks.to_string(),
        site.counted.to_string(),
        site.allowance.map_or_else(|| "none".to_owned(), |allowance| allowance.to_string()),
        site.siteverify_calls.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_a_table_of_numbers_that_stand_below_each_other() {
        let site = |site: &str, solved, allowance| SiteUsage {
            site: site.to_owned(),
            month: "2030-01".to_owned(),
            solved,
            failed_redeems: 2,
            enforced_blocks: 3,
            counted: solved + 5,
            allowance,
            siteverify_calls: 1_001,
        };
        assert_eq!(
            table(&[site("shop", 1_000, Some(5_000)), site("blog", 0, None)]),
            "2030-01 (UTC)
site  solved  failed  blocked  counted  allowance  siteverify
shop    1000       2        3     1005       5000        1001
blog       0       2        3        5       none        1001
"
        );
        assert_eq!(table(&[]), "no sites\n");
    }
}
