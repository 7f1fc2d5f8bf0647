"""The site-side program that turns a pod into a process or a batch job."""
