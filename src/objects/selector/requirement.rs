use std::fmt;

use serde_json::{Map, Value};

use super::text;
use crate::objects::names;

/// A set of requirements that an object's labels must all meet. The empty set is met by every object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// How the value is judged.
    pub operator: Operator,
    /// What it is judged by; sorted.
    pub values: Vec<String>,
}

/// How a [`Requirement`] judges a label's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The value is one of those given.
    In,
    /// The label is absent or its value is none of those given.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The value is an integer greater than the one given.
    GreaterThan,
    /// The value is an integer less than the one given.
    LessThan,
}

/// Why a selector could not be understood; the text is the API server's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub(super) String);

impl LabelSelector {
    /// Meets every object.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Meets no object.
    pub fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// Reads the query string's spelling, `a=b,c!=d,e in (x,y),!f`.
    ///
    /// # Errors
    /// The text that `labels.Parse` gives.
    pub fn parse(selector: &str) -> Result<Self, SelectorError> {
        Ok(Self { requirements: text::parse(selector)?, nothing: false })
    }

    /// Reads the object's spelling. An absent (`null`) selector meets nothing, an empty one everything, as
    /// `metav1.LabelSelectorAsSelector` has it.
    ///
    /// # Errors
    /// For an operator that is none, or values that do not go with it.
    pub fn from_object(selector: &Value) -> Result<Self, SelectorError> {
        if selector.is_null() {
            return Ok(Self::nothing());
        }
        let mut requirements = Self::from_map(selector.get("matchLabels")).requirements;
        for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let key = expression.get("key").and_then(Value::as_str).unwrap_or_default();
            let name = expression.get("operator").and_then(Value::as_str).unwrap_or_default();
            let operator = match name {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                _ => return Err(SelectorError(format!("\"{name}\" is not a valid label selector operator"))),
            };
            let values = expression.get("values").and_then(Value::as_array);
            let values = values.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            requirements.push(Requirement::new(key, operator, values)?);
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// Reads a plain map of labels (a Service's `spec.selector`). Absent or empty meets everything; a caller for whom an
    /// empty map means nothing asks first.
    pub fn from_map(labels: Option<&Value>) -> Self {
        let labels = labels.and_then(Value::as_object).into_iter().flatten();
        let mut requirements: Vec<_> = labels
            .map(|(key, value)| Requirement {
                key: key.clone(),
                operator: Operator::In,
                values: vec![value.as_str().unwrap_or_default().to_owned()],
            })
            .collect();
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements, nothing: false }
    }

    /// Whether every object is met.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether these labels meet all requirements. No labels at all is `None`.
    pub fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        !self.nothing
            && self.requirements.iter().all(|requirement| {
                requirement.holds(labels.and_then(|labels| labels.get(&requirement.key)).and_then(Value::as_str))
            })
    }

    /// Whether an object's `metadata.labels` meet all requirements.
    pub fn matches_object(&self, object: &Value) -> bool {
        self.matches(crate::objects::meta::labels(object))
    }

    /// The requirements in order.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
}

impl Requirement {
    /// Checks key and values and builds the requirement.
    ///
    /// # Errors
    /// What `labels.NewRequirement` says.
    pub fn new(key: &str, operator: Operator, mut values: Vec<String>) -> Result<Self, SelectorError> {
        let mut errors = Vec::new();
        let problems = names::qualified_name(key);
        if !problems.is_empty() {
            errors.push(format!("key: Invalid value: {}: {}", names::quote(key), problems.join("; ")));
        }
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => errors
                .push("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty".to_owned()),
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => errors.push(format!(
                "values: Invalid value: {values:?}: values set must be empty for exists and does not exist"
            )),
            Operator::GreaterThan | Operator::LessThan => {
                if values.len() != 1 {
                    errors.push(format!(
                        "values: Invalid value: {values:?}: for 'Gt', 'Lt' operators, exactly one value is required"
                    ));
                }
                for (index, value) in values.iter().enumerate().filter(|(_, value)| value.parse::<i64>().is_err()) {
                    errors.push(format!(
                        "values[{index}]: Invalid value: {}: for 'Gt', 'Lt' operators, the value must be an integer",
                        names::quote(value)
                    ));
                }
            }
            _ => {}
        }
        for (index, value) in values.iter().enumerate() {
            let problems = names::label_value(value);
            if !problems.is_empty() {
                errors.push(format!(
                    "values[{index}][{key}]: Invalid value: {}: {}",
                    names::quote(value),
                    problems.join("; ")
                ));
            }
        }
        match errors.len() {
            0 => {
                values.sort();
                values.dedup();
                Ok(Self { key: key.to_owned(), operator, values })
            }
            1 => Err(SelectorError(errors.remove(0))),
            _ => Err(SelectorError(format!("[{}]", errors.join(", ")))),
        }
    }

    fn holds(&self, value: Option<&str>) -> bool {
        match self.operator {
            Operator::In => value.is_some_and(|value| self.has(value)),
            Operator::NotIn => !value.is_some_and(|value| self.has(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => self.compare(value, |label, bound| label > bound),
            Operator::LessThan => self.compare(value, |label, bound| label < bound),
        }
    }

    fn has(&self, value: &str) -> bool {
        self.values.iter().any(|known| known == value)
    }

    fn compare(&self, value: Option<&str>, judge: fn(i64, i64) -> bool) -> bool {
        let label = value.and_then(|value| value.parse().ok());
        let bound = self.values.first().and_then(|value| value.parse().ok());
        label.zip(bound).is_some_and(|(label, bound)| judge(label, bound))
    }
}

impl fmt::Display for LabelSelector {
    /// The query string's spelling, as kubectl and `Scale.status.selector` show it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                out.write_str(",")?;
            }
            write!(out, "{requirement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, operator, values } = self;
        match (operator, values.as_slice()) {
            (Operator::In, [value]) => write!(out, "{key}={value}"),
            (Operator::NotIn, [value]) => write!(out, "{key}!={value}"),
            (Operator::In, values) => write!(out, "{key} in ({})", values.join(",")),
            (Operator::NotIn, values) => write!(out, "{key} notin ({})", values.join(",")),
            (Operator::Exists, _) => out.write_str(key),
            (Operator::DoesNotExist, _) => write!(out, "!{key}"),
            (Operator::GreaterThan, values) => write!(out, "{key}>{}", values.join(",")),
            (Operator::LessThan, values) => write!(out, "{key}<{}", values.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_and_strings_mean_the_same() {
        let object = json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["b", "a"]},
                {"key": "gone", "operator": "DoesNotExist"},
            ],
        });
        let from_object = LabelSelector::from_object(&object).expect("is valid");
        assert_eq!(from_object.to_string(), "app=web,!gone,tier in (a,b)");
        assert_eq!(LabelSelector::parse("app=web,!gone,tier in (a,b)").expect("is valid"), from_object);
    }

    #[test]
    fn matching() {
        let labels = json!({"app": "web", "n": "5"});
        let labels = labels.as_object();
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            ("app!=web", false),
            ("missing!=web", true),
            ("app in (x,web)", true),
            ("app notin (x)", true),
            ("missing notin (x)", true),
            ("missing in (x)", false),
            ("app", true),
            ("!app", false),
            ("n>4", true),
            ("n<5", false),
            ("app>4", false),
        ] {
            assert_eq!(LabelSelector::parse(selector).expect(selector).matches(labels), expected, "{selector}");
        }
        assert!(!LabelSelector::from_object(&json!(null)).expect("is valid").matches(None));
        assert!(LabelSelector::from_object(&json!({})).expect("is valid").matches(None));
        assert!(LabelSelector::from_map(None).is_everything());
    }

    #[test]
    fn unknown_operators_are_refused() {
        let object = json!({"matchExpressions": [{"key": "a", "operator": "Like"}]});
        let error = LabelSelector::from_object(&object).expect_err("is no operator");
        assert_eq!(error.to_string(), "\"Like\" is not a valid label selector operator");
    }
}
