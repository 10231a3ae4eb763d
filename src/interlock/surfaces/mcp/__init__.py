"""What can agents do here, over the Model Context Protocol? Each file is one noun; `server` puts them together."""
