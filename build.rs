//! Hands the version and the commit to the plugin description.

fn main() {
    gst_plugin_version_helper::info()
}
