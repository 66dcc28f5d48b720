"""The provider for Alibaba Cloud Elastic Container Instance."""
