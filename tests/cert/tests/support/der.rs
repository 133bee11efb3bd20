//! DER elements taken apart and put together, to make what the profile forbids.

use anyhow::{Context, Result};

/// Tag and content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub tag: u8,
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Bytes(Vec<u8>),
    Nodes(Vec<Node>),
}

impl Node {
    /// Parses one element and what is after it.
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let (&tag, rest) = bytes.split_first().context("no tag")?;
        let (&first, mut rest) = rest.split_first().context("no length")?;
        let mut len = usize::from(first);
        if first >= 0x80 {
            let (octets, after) = rest
                .split_at_checked(usize::from(first & 0x7f))
                .context("no length")?;
            len = octets.iter().fold(0, |len, octet| len << 8 | usize::from(*octet));
            rest = after;
        }
        let (content, rest) = rest.split_at_checked(len).context("short")?;
        let content = if tag & 0x20 == 0 {
            Content::Bytes(content.to_vec())
        } else {
            let mut nodes = Vec::new();
            let mut left = content;
            while !left.is_empty() {
                let (node, after) = Self::parse(left)?;
                nodes.push(node);
                left = after;
            }
            Content::Nodes(nodes)
        };
        Ok((Self { tag, content }, rest))
    }

    pub fn bytes(tag: u8, bytes: &[u8]) -> Self {
        Self {
            tag,
            content: Content::Bytes(bytes.to_vec()),
        }
    }

    pub fn nodes(tag: u8, nodes: Vec<Self>) -> Self {
        Self {
            tag,
            content: Content::Nodes(nodes),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let content = match &self.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Nodes(nodes) => nodes.iter().flat_map(Self::encode).collect(),
        };
        let len = content.len().to_be_bytes();
        let octets: Vec<u8> = len.iter().copied().skip_while(|octet| *octet == 0).collect();
        let mut out = vec![self.tag];
        match octets.as_slice() {
            [] => out.push(0),
            [short] if *short < 0x80 => out.push(*short),
            long => {
                out.push(0x80 | u8::try_from(long.len()).unwrap_or(0));
                out.extend_from_slice(long);
            }
        }
        out.extend(content);
        out
    }

    /// The members of a constructed element, for changing.
    pub fn members(&mut self) -> Result<&mut Vec<Self>> {
        match &mut self.content {
            Content::Nodes(nodes) => Ok(nodes),
            Content::Bytes(_) => anyhow::bail!("not constructed"),
        }
    }

    /// The element at this path of positions, for changing.
    pub fn at(&mut self, path: &[usize]) -> Result<&mut Self> {
        let mut node = self;
        for index in path {
            node = node.members()?.get_mut(*index).context("no such member")?;
        }
        Ok(node)
    }

    /// The content of a primitive element, for changing.
    pub fn raw(&mut self) -> Result<&mut Vec<u8>> {
        match &mut self.content {
            Content::Bytes(bytes) => Ok(bytes),
            Content::Nodes(_) => anyhow::bail!("constructed"),
        }
    }
}
