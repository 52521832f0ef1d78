"""mcp_server: one MCP server over the knowledge base, the profile reader and the kernel lab (command: kernel-skills-mcp)."""
