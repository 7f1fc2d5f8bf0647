"""The keeper: what runs beside a kernel at a site, so that nothing it says is lost."""
