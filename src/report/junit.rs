//! JUnit's XML, which CI systems read: one test case a stage.

use std::fmt::Write;

use super::html::escaped;
use super::story::{Story, Told};

/// The document. A stage that failed is a failure, one that was not begun or not finished is skipped.
pub fn junit(story: &Story) -> String {
    let failures = story.stages.iter().filter(|stage| stage.standing == "failed").count();
    let skipped = story.stages.iter().filter(|stage| matches!(stage.standing, "begun" | "not-begun")).count();
    let head = format!(
        "tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{}\"",
        story.stages.len(),
        seconds(story.took_ms())
    );
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {head}>\n  <testsuite name=\"{}\" timestamp=\"{}\" {head}>\n    <properties>\n",
        escaped(&story.lab),
        story.made_at.strftime("%Y-%m-%dT%H:%M:%S"),
    );
    let mut property = |name: &str, value: &str| {
        let _ = writeln!(xml, "      <property name=\"{}\" value=\"{}\"/>", escaped(name), escaped(value));
    };
    property("program", &format!("canary-lab {}", story.environment.program));
    property("cluster", story.environment.provider.as_deref().unwrap_or("none"));
    property("machine", &story.environment.machine);
    for version in &story.environment.versions {
        property(&version.what, &version.version);
    }
    xml.push_str("    </properties>\n");
    for stage in &story.stages {
        case(&mut xml, story, stage);
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

fn case(xml: &mut String, story: &Story, stage: &Told) {
    let _ = write!(
        xml,
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\"",
        escaped(&story.lab),
        escaped(&stage.id),
        seconds(stage.took_ms.unwrap_or(0))
    );
    let summary = escaped(&stage.summary.join("\n"));
    let _ = match stage.standing {
        "proven" => writeln!(xml, ">\n      <system-out>{summary}</system-out>\n    </testcase>"),
        "failed" => {
            let failure = stage.failure.clone().unwrap_or_default();
            let lines = failure["observed"].as_array().into_iter().flatten().filter_map(|line| line.as_str());
            let text: Vec<&str> = lines.chain(failure["cause"].as_str()).collect();
            writeln!(
                xml,
                ">\n      <failure type=\"{}\" message=\"{}\">{}</failure>\n    </testcase>",
                escaped(failure["reason"].as_str().unwrap_or("FAILED")),
                escaped(stage.summary.first().map_or("failed", String::as_str)),
                escaped(&text.join("\n"))
            )
        }
        standing => writeln!(xml, ">\n      <skipped message=\"{standing}\"/>\n    </testcase>"),
    };
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}
