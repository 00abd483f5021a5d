//! Rules and matches that an earlier one always wins over; they are warned about, not refused.

use crate::routing::model::{HttpMatch, HttpRule};

/// The warnings for a VirtualService's `http` list, in the order of the rules.
pub(super) fn find(rules: &[HttpRule]) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut seen: Vec<(usize, &HttpMatch)> = Vec::new();
    let mut matchless_seen = false;
    for (index, rule) in rules.iter().enumerate() {
        let rule_name = label(&rule.name, index);
        if rule.r#match.is_empty() {
            if matchless_seen {
                warnings
                    .push(format!("virtualService rule {rule_name} not used (only the last rule can have no matches)"));
            }
            matchless_seen = true;
            continue;
        }
        let mut duplicates = 0;
        for (match_index, entry) in rule.r#match.iter().enumerate() {
            let same = seen.iter().find(|(_, earlier)| *earlier == entry);
            let winner = same.or_else(|| seen.iter().find(|(_, earlier)| covers(earlier, entry)));
            if let Some((earlier, _)) = winner {
                warnings.push(format!(
                    "virtualService rule {rule_name} match {} is not used (duplicate/overlapping match in rule {})",
                    label(&entry.name, match_index),
                    label(&rules[*earlier].name, *earlier)
                ));
            }
            if same.is_some() {
                duplicates += 1;
            } else {
                seen.push((index, entry));
            }
        }
        if duplicates == rule.r#match.len() {
            warnings.push(format!("virtualService rule {rule_name} not used (all matches used by prior rules)"));
        }
    }
    warnings
}

fn label(name: &str, index: usize) -> String {
    if name.is_empty() { format!("#{index}") } else { format!("{name:?}") }
}

/// Whether the earlier match's path prefix covers the later one's while everything else is the same.
fn covers(earlier: &HttpMatch, later: &HttpMatch) -> bool {
    let prefix = |entry: &HttpMatch| entry.uri.as_ref().and_then(|uri| uri.prefix.clone());
    let (Some(wide), Some(narrow)) = (prefix(earlier), prefix(later)) else { return false };
    narrow.starts_with(&wide)
        && earlier.method == later.method
        && earlier.authority == later.authority
        && earlier.headers == later.headers
        && earlier.query_params == later.query_params
        && earlier.port == later.port
        && earlier.without_headers == later.without_headers
}
