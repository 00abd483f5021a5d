//! Protocol buffers' text format, read into a tree of fields without a schema.

/// A field: `name: value` or `name { … }`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) value: FieldValue,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FieldValue {
    /// What stands in quotation marks; bytes, not necessarily UTF-8.
    Text(Vec<u8>),
    /// A number or an identifier, as written.
    Word(String),
    Message(Vec<Field>),
}

/// The deepest nesting that is read, as in protocol buffers' own reader.
const DEEPEST: usize = 100;

/// Reads a whole text; `None` when it is not text format.
pub(crate) fn parse(text: &str) -> Option<Vec<Field>> {
    let mut reader = Reader { rest: text };
    let fields = reader.fields(None, 0)?;
    reader.skip();
    reader.rest.is_empty().then_some(fields)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if !self.rest.starts_with('#') {
                return;
            }
            self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        }
    }

    fn take(&mut self, token: char) -> bool {
        self.skip();
        let found = self.rest.strip_prefix(token);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn fields(&mut self, close: Option<char>, depth: usize) -> Option<Vec<Field>> {
        let mut fields = Vec::new();
        loop {
            self.skip();
            if close.is_some_and(|close| self.take(close)) || (close.is_none() && self.rest.is_empty()) {
                return Some(fields);
            }
            let name = self.name()?;
            let colon = self.take(':');
            if colon && self.take('[') {
                // `name: [a, b]` is short for the field repeated.
                if self.take(']') {
                    continue;
                }
                loop {
                    fields.push(Field { name: name.clone(), value: self.value(true, depth)? });
                    if self.take(']') {
                        break;
                    }
                    self.take(',').then_some(())?;
                }
            } else {
                fields.push(Field { name, value: self.value(colon, depth)? });
            }
            let _ = self.take(',') || self.take(';');
        }
    }

    fn value(&mut self, scalar_allowed: bool, depth: usize) -> Option<FieldValue> {
        for (open, close) in [('{', '}'), ('<', '>')] {
            if self.take(open) {
                (depth < DEEPEST).then_some(())?;
                return self.fields(Some(close), depth + 1).map(FieldValue::Message);
            }
        }
        scalar_allowed.then_some(())?;
        self.skip();
        if self.rest.starts_with(['"', '\'']) {
            let mut text = Vec::new();
            while self.rest.starts_with(['"', '\'']) {
                self.string(&mut text)?;
                self.skip();
            }
            return Some(FieldValue::Text(text));
        }
        self.word().map(FieldValue::Word)
    }

    /// A field's name, or a type in brackets, as `Any` has it.
    fn name(&mut self) -> Option<String> {
        self.skip();
        let Some(rest) = self.rest.strip_prefix('[') else { return self.word() };
        let (name, rest) = rest.split_once(']')?;
        self.rest = rest;
        Some(name.to_owned())
    }

    fn word(&mut self) -> Option<String> {
        self.skip();
        let end = self
            .rest
            .find(|character: char| !character.is_ascii_alphanumeric() && !matches!(character, '_' | '-' | '.' | '+'))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then(|| word.to_owned())
    }

    /// One quoted string with C's escapes, onto the end of `target`.
    fn string(&mut self, target: &mut Vec<u8>) -> Option<()> {
        let bytes = self.rest.as_bytes();
        let quote = *bytes.first()?;
        let mut at = 1;
        loop {
            let byte = *bytes.get(at)?;
            at += 1;
            match byte {
                byte if byte == quote => break,
                b'\n' => return None,
                b'\\' => {
                    let escape = *bytes.get(at)?;
                    at += 1;
                    match escape {
                        b'n' => target.push(b'\n'),
                        b't' => target.push(b'\t'),
                        b'r' => target.push(b'\r'),
                        b'\\' | b'"' | b'\'' | b'?' => target.push(escape),
                        b'a' => target.push(0x07),
                        b'b' => target.push(0x08),
                        b'f' => target.push(0x0C),
                        b'v' => target.push(0x0B),
                        b'x' | b'X' => {
                            let digits = self
                                .rest
                                .get(at..at + 2)
                                .filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
                            let digits = digits.or_else(|| self.rest.get(at..=at))?;
                            target.push(u8::from_str_radix(digits, 16).ok()?);
                            at += digits.len();
                        }
                        b'0'..=b'7' => {
                            let mut code = u32::from(escape - b'0');
                            for _ in 0..2 {
                                if let Some(digit @ b'0'..=b'7') = bytes.get(at) {
                                    code = code * 8 + u32::from(digit - b'0');
                                    at += 1;
                                }
                            }
                            target.push(u8::try_from(code).ok()?);
                        }
                        _ => return None,
                    }
                }
                other => target.push(other),
            }
        }
        self.rest = self.rest.get(at..)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_messages_lists_comments_and_strings_are_read() {
        let text = "# models\nconfig: { name: 'a' \"b\", versions: [1, 2] } config <on: true;>";
        let fields = parse(text).unwrap();
        let field = |name: &str, value: FieldValue| Field { name: name.into(), value };
        let first = vec![
            field("name", FieldValue::Text(b"ab".to_vec())),
            field("versions", FieldValue::Word("1".into())),
            field("versions", FieldValue::Word("2".into())),
        ];
        let second = vec![field("on", FieldValue::Word("true".into()))];
        assert_eq!(fields, [field("config", FieldValue::Message(first)), field("config", FieldValue::Message(second))]);
    }

    #[test]
    fn what_is_not_text_format_is_refused() {
        for text in ["config", "config {", "config: 'a", "}", "a: 'x\ny'", &"a{".repeat(200)] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
