//! Who looks at sites on behalf of a run's expressions.

use longhaul_model::site::Sight;

/// Says whether sites are up.
#[async_trait::async_trait]
pub trait Lookout: Send + Sync {
    /// Whether a site's agent answers now. Comes to an end within seconds, and changes nothing.
    async fn site(&self, site: &str) -> Sight;
}

/// Sees nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLookout;

#[async_trait::async_trait]
impl Lookout for NoLookout {
    async fn site(&self, _: &str) -> Sight {
        Sight::Unknown("this program can ask no site".to_owned())
    }
}
