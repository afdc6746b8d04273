"""EC2 as the lab plays it: what moto's lacks, and what of moto's is changed."""
