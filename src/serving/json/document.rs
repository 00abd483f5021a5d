//! A parsed document: one flat tape of nodes in document order, and one buffer with all strings.

/// One entry of the tape. Containers know where they end, so a reader can step over them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    False,
    True,
    /// An integer token without a minus sign.
    Unsigned(u64),
    /// An integer token with a minus sign.
    Negative(i64),
    /// Any other number.
    Double(f64),
    /// A range of the string buffer.
    String {
        start: u32,
        length: u32,
    },
    /// `length` elements, ending before the tape's index `end`.
    Array {
        length: u32,
        end: u32,
    },
    /// `length` members, each a string and a value, ending before the tape's index `end`.
    Object {
        length: u32,
        end: u32,
    },
}

/// A JSON document.
#[derive(Debug, Default)]
pub struct Document {
    pub(super) nodes: Vec<Node>,
    pub(super) strings: Vec<u8>,
}

/// What kind of value it is, with RapidJSON's distinctions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `false`
    False,
    /// `true`
    True,
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// Any number, `NaN` and the infinities included.
    Number,
}

impl Kind {
    /// The name that error texts use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "Null",
            Self::False => "False",
            Self::True => "True",
            Self::Object => "Object",
            Self::Array => "Array",
            Self::String => "String",
            Self::Number => "Number",
        }
    }
}

/// A value inside a [`Document`].
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    document: &'a Document,
    index: usize,
}

impl Document {
    /// The top-level value.
    pub fn root(&self) -> Value<'_> {
        Value { document: self, index: 0 }
    }
}

impl<'a> Value<'a> {
    pub(super) fn node(self) -> Node {
        self.document.nodes[self.index]
    }

    pub(super) fn index(self) -> usize {
        self.index
    }

    pub(super) fn document(self) -> &'a Document {
        self.document
    }

    /// The index of the first node after this value.
    pub(super) fn end(self) -> usize {
        match self.node() {
            Node::Array { end, .. } | Node::Object { end, .. } => end as usize,
            _ => self.index + 1,
        }
    }

    /// What kind of value it is.
    pub fn kind(self) -> Kind {
        match self.node() {
            Node::Null => Kind::Null,
            Node::False => Kind::False,
            Node::True => Kind::True,
            Node::Unsigned(_) | Node::Negative(_) | Node::Double(_) => Kind::Number,
            Node::String { .. } => Kind::String,
            Node::Array { .. } => Kind::Array,
            Node::Object { .. } => Kind::Object,
        }
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        matches!(self.node(), Node::Object { .. })
    }

    /// The number of elements, when it is an array.
    pub fn array_length(self) -> Option<usize> {
        match self.node() {
            Node::Array { length, .. } => Some(length as usize),
            _ => None,
        }
    }

    /// The elements of an array; nothing for other values.
    pub fn elements(self) -> Values<'a> {
        match self.node() {
            Node::Array { end, .. } => Values { document: self.document, next: self.index + 1, end: end as usize },
            _ => Values { document: self.document, next: 0, end: 0 },
        }
    }

    /// The value alone, as a sequence.
    pub fn alone(self) -> Values<'a> {
        Values { document: self.document, next: self.index, end: self.end() }
    }

    /// The members of an object in document order, duplicates included; nothing for other values.
    pub fn members(self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
        let end = if let Node::Object { end, .. } = self.node() { end as usize } else { self.index + 1 };
        let document = self.document;
        let mut next = self.index + 1;
        std::iter::from_fn(move || {
            if next >= end {
                return None;
            }
            let name = Value { document, index: next };
            let value = Value { document, index: next + 1 };
            next = value.end();
            Some((name.bytes().unwrap_or_default(), value))
        })
    }

    /// The number of members, when it is an object.
    pub fn member_count(self) -> Option<usize> {
        match self.node() {
            Node::Object { length, .. } => Some(length as usize),
            _ => None,
        }
    }

    /// The first member of that name.
    pub fn member(self, name: &str) -> Option<Value<'a>> {
        self.members().find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| value)
    }

    /// The bytes of a string. They need not be UTF-8: RapidJSON does not check.
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self.node() {
            Node::String { start, length } => {
                let start = start as usize;
                Some(&self.document.strings[start..start + length as usize])
            }
            _ => None,
        }
    }

    /// The value of `true` or `false`.
    pub fn boolean(self) -> Option<bool> {
        match self.node() {
            Node::True => Some(true),
            Node::False => Some(false),
            _ => None,
        }
    }

    /// An integer token that fits 64 bits with a sign.
    pub fn int64(self) -> Option<i64> {
        match self.node() {
            Node::Unsigned(value) => i64::try_from(value).ok(),
            Node::Negative(value) => Some(value),
            _ => None,
        }
    }

    /// An integer token that fits 64 bits without a sign.
    pub fn uint64(self) -> Option<u64> {
        match self.node() {
            Node::Unsigned(value) => Some(value),
            Node::Negative(0) => Some(0),
            _ => None,
        }
    }

    /// Any number, as a double.
    pub fn double(self) -> Option<f64> {
        match self.node() {
            Node::Unsigned(value) => Some(value as f64),
            Node::Negative(value) => Some(value as f64),
            Node::Double(value) => Some(value),
            _ => None,
        }
    }

    /// Whether it is a number that was not written as an integer (or was too large for one).
    pub fn is_double(self) -> bool {
        matches!(self.node(), Node::Double(_))
    }
}

/// Values that follow each other, for example the elements of an array.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    document: &'a Document,
    next: usize,
    end: usize,
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        if self.next >= self.end {
            return None;
        }
        let value = Value { document: self.document, index: self.next };
        self.next = value.end();
        Some(value)
    }
}
