"""`farlab kubelet`: a virtual kubelet whose pods run at a site, behind a plugin or interLink."""
