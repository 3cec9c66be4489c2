//! The report as one self-contained page.

use askama::Template;

use super::text::Section;
use super::{Client, Report, Verdict, svg};

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    title: String,
    status: &'static str,
    headline: String,
    headline_class: &'static str,
    sections: Vec<Section>,
    time_line: String,
    sha256: String,
}

impl Report {
    /// The report as a page: no script, nothing loaded from elsewhere, light or dark as the reader's system is.
    #[must_use]
    pub fn html(&self) -> String {
        let red = self.verdict.as_ref().is_some_and(Verdict::is_red);
        let bad = red || self.has_lost_memory() || self.clients.iter().any(Client::lost_something);
        let headline_class = if bad { "bad" } else { "plain" };
        let page = Page {
            title: self.title(),
            status: self.status.as_str(),
            headline: self.headline(),
            headline_class,
            sections: self.sections(),
            time_line: svg::time_line(self),
            sha256: self.sha256.clone(),
        };
        page.render().expect("the template writes into a string and calls nothing that can fail")
    }
}
