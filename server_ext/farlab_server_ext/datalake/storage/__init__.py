"""Lakes that are plain storage: WebDAV doors and S3 object stores."""
