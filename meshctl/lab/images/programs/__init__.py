"""Programs of images that the lab plays. Started by `images.commands`. EDGE."""
