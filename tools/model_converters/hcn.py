"""Convert a checkpoint of HCN's public reproduction to one of this project."""
import authors_checkpoint as authors

# our name of a layer: theirs, of the joint stream and of the motion stream
STREAM = {'conv1': 'conv1{}.0', 'conv2': 'conv2{}', 'conv3': 'conv3{}.0',
          'conv4': 'conv4{}.0'}


def make_table(source: authors.Tensors) -> authors.Table:
    """What each of our tensors is made of, for the authors' ``source``."""
    names = {'backbone.conv5': 'conv5.0', 'backbone.conv6': 'conv6.0',
             'cls_head.fc7': 'fc7.0', 'cls_head.fc8': 'fc8'}
    for ours, theirs in STREAM.items():
        names[f'backbone.joint_stream.{ours}'] = theirs.format('')
        names[f'backbone.motion_stream.{ours}'] = theirs.format('m')
    table = authors.decoupler(source)
    for ours, theirs in names.items():
        table.update(authors.layer(ours, [theirs]))
    return table


if __name__ == '__main__':
    authors.main('HCN', make_table)
