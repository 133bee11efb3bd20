//! The part of XML 1.0 that an `ASiCManifest` needs: elements, attributes, namespaces, text. What else XML has, and
//! attackers use (document types, entities, processing instructions, comments, CDATA), is refused.

use crate::error::Refusal;

const DEPTH_MAX: usize = 4;
const CHILDREN_MAX: usize = 256;
const ATTRIBUTES_MAX: usize = 8;

/// An element with its namespace resolved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// Attributes without prefix; declarations of namespaces are not among them.
    pub(crate) attributes: Vec<(&'a str, &'a str)>,
    pub(crate) children: Vec<Self>,
    /// Text of an element without children, without the blanks around it.
    pub(crate) text: &'a str,
}

impl<'a> Element<'a> {
    /// Whether this is that element.
    pub(crate) fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// An attribute's value.
    pub(crate) fn attribute(&self, name: &str) -> Option<&'a str> {
        let found = self.attributes.iter().find(|(key, _value)| *key == name);
        found.map(|(_name, value)| *value)
    }
}

/// Reads a document of one root element.
pub(crate) fn parse(bytes: &[u8]) -> Result<Element<'_>, Refusal> {
    let text =
        std::str::from_utf8(bytes).map_err(|_utf8| Refusal::from("the container's manifest is not UTF-8"))?;
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r') || !(c.is_control() || c == '&');
    if !text.chars().all(allowed) {
        return Err("the container's manifest has a reference or a control character".into());
    }
    let mut parser = Parser { rest: text };
    if let Some(rest) = parser.rest.strip_prefix("<?xml ") {
        let (declaration, rest) = rest.split_once("?>").ok_or_else(malformed)?;
        if declaration.contains(['<', '>']) {
            return Err(malformed());
        }
        parser.rest = rest;
    }
    parser.blanks();
    let root = parser.element(&[], 1)?;
    parser.blanks();
    if parser.rest.is_empty() {
        Ok(root)
    } else {
        Err(malformed())
    }
}

fn malformed() -> Refusal {
    "the container's manifest is not XML of the profile".into()
}

struct Parser<'a> {
    rest: &'a str,
}

/// A prefix (empty: the default) and its namespace.
type Scope<'a> = (&'a str, &'a str);

impl<'a> Parser<'a> {
    fn element(&mut self, outer: &[Scope<'a>], depth: usize) -> Result<Element<'a>, Refusal> {
        if depth > DEPTH_MAX {
            return Err(malformed());
        }
        self.token("<")?;
        let qualified = self.name()?;
        let (attributes, scopes, empty) = self.attributes(outer)?;
        let (prefix, name) = qualified.split_once(':').unwrap_or(("", qualified));
        let namespace = scopes
            .iter()
            .rev()
            .find(|(known, _namespace)| *known == prefix)
            .map(|(_prefix, namespace)| *namespace)
            .ok_or_else(malformed)?;
        let mut element = Element {
            namespace,
            name,
            attributes,
            children: Vec::new(),
            text: "",
        };
        if empty {
            return Ok(element);
        }
        loop {
            let (text, rest) = self.rest.split_once('<').ok_or_else(malformed)?;
            let text = text.trim_matches([' ', '\t', '\n', '\r']);
            self.rest = self
                .rest
                .get(self.rest.len() - rest.len() - 1..)
                .ok_or_else(malformed)?;
            let closes = rest.starts_with('/');
            // Text stands alone: mixed content is not of the profile.
            let alone = closes && element.children.is_empty();
            if !(text.is_empty() || alone) {
                return Err(malformed());
            }
            if closes {
                element.text = text;
                self.token("</")?;
                if self.name()? != qualified {
                    return Err(malformed());
                }
                self.blanks();
                self.token(">")?;
                return Ok(element);
            }
            if element.children.len() == CHILDREN_MAX {
                return Err(malformed());
            }
            element.children.push(self.element(&scopes, depth + 1)?);
        }
    }

    /// Attributes, the namespaces in scope, and whether the element is empty.
    #[expect(clippy::type_complexity, reason = "read in one place")]
    fn attributes(
        &mut self,
        outer: &[Scope<'a>],
    ) -> Result<(Vec<(&'a str, &'a str)>, Vec<Scope<'a>>, bool), Refusal> {
        let mut attributes: Vec<(&str, &str)> = Vec::new();
        let mut scopes = outer.to_vec();
        loop {
            let blanks = self.blanks();
            if let Some(rest) = self.rest.strip_prefix("/>") {
                self.rest = rest;
                return Ok((attributes, scopes, true));
            }
            if let Some(rest) = self.rest.strip_prefix('>') {
                self.rest = rest;
                return Ok((attributes, scopes, false));
            }
            if !blanks || attributes.len() == ATTRIBUTES_MAX || scopes.len() > DEPTH_MAX * ATTRIBUTES_MAX {
                return Err(malformed());
            }
            let name = self.name()?;
            self.blanks();
            self.token("=")?;
            self.blanks();
            let value = self.quoted()?;
            if name == "xmlns" {
                scopes.push(("", value));
            } else if let Some(prefix) = name.strip_prefix("xmlns:") {
                scopes.push((prefix, value));
            } else if name.contains(':') || attributes.iter().any(|(known, _value)| *known == name) {
                return Err(malformed());
            } else {
                attributes.push((name, value));
            }
        }
    }

    fn quoted(&mut self) -> Result<&'a str, Refusal> {
        let quote = self
            .rest
            .chars()
            .next()
            .filter(|c| matches!(c, '"' | '\''))
            .ok_or_else(malformed)?;
        let rest = self.rest.get(1..).ok_or_else(malformed)?;
        let (value, rest) = rest.split_once(quote).ok_or_else(malformed)?;
        if value.contains('<') {
            return Err(malformed());
        }
        self.rest = rest;
        Ok(value)
    }

    fn name(&mut self) -> Result<&'a str, Refusal> {
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-' | '.')))
            .ok_or_else(malformed)?;
        let (name, rest) = self.rest.split_at(end);
        if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Err(malformed());
        }
        self.rest = rest;
        Ok(name)
    }

    fn token(&mut self, token: &str) -> Result<(), Refusal> {
        self.rest = self.rest.strip_prefix(token).ok_or_else(malformed)?;
        Ok(())
    }

    /// Skips blanks and says whether there were any.
    fn blanks(&mut self) -> bool {
        let rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        let found = rest.len() != self.rest.len();
        self.rest = rest;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_free() {
        let plain = parse(b"<?xml version=\"1.0\"?>\n<a xmlns='u'><b c=\"d\"> t </b></a>\n").unwrap();
        let prefixed = parse(b"<p:a xmlns:p=\"u\"><p:b c='d'>t</p:b></p:a>").unwrap();
        assert_eq!(plain, prefixed);
        assert!(plain.is("u", "a"));
        assert_eq!(plain.children[0].attribute("c"), Some("d"));
        assert_eq!(plain.children[0].text, "t");
    }

    #[test]
    fn what_attackers_use_is_refused() {
        for text in [
            "<!DOCTYPE a><a xmlns='u'/>",
            "<a xmlns='u'>&lt;</a>",
            "<a xmlns='u'><!-- c --></a>",
            "<a xmlns='u'><![CDATA[x]]></a>",
            "<a xmlns='u'><?p?></a>",
            "<a xmlns='u'>x<b/></a>",
            "<a xmlns='u' c='1' c='2'/>",
            "<p:a xmlns='u'/>",
            "<a xmlns='u'/><a xmlns='u'/>",
            "<a xmlns='u'><b></a></b>",
            "<a xmlns='u'><b><c><d><e/></d></c></b></a>",
            "<a xmlns='u'",
            "",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
