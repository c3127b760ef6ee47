//! Doc comments as text.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The text of the `///` lines among these attributes.
pub(crate) fn doc(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes.iter().filter_map(line).collect();
    let lines: Vec<&str> = lines
        .iter()
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
        .collect();
    lines.join("\n").trim().to_owned()
}

fn line(attribute: &Attribute) -> Option<String> {
    match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

/// Takes the paragraph that begins with `Returns:` out of a doc comment: (the rest, that paragraph on one line).
pub(crate) fn split_returns(doc: &str) -> (String, String) {
    let (returns, rest): (Vec<&str>, Vec<&str>) =
        doc.split("\n\n").partition(|it| it.starts_with("Returns:"));
    let returns = returns
        .first()
        .and_then(|it| it.strip_prefix("Returns:"))
        .unwrap_or_default();
    (
        rest.join("\n\n"),
        returns.split_whitespace().collect::<Vec<_>>().join(" "),
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_paragraph_returns_is_taken_out_of_a_doc_comment() {
        let (rest, returns) =
            super::split_returns("Adds.\n\nMore.\n\nReturns: the sum\nof both.\n\nEnd.");
        assert_eq!(rest, "Adds.\n\nMore.\n\nEnd.");
        assert_eq!(returns, "the sum of both.");
    }

    #[test]
    fn a_doc_comment_loses_one_space_a_line() {
        let item: syn::ItemFn = syn::parse_quote! {
            /// One.
            ///
            ///   - two
            fn f() {}
        };
        assert_eq!(super::doc(&item.attrs), "One.\n\n  - two");
    }
}
