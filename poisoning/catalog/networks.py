"""The architectures. No torch in here."""

from poisoning.catalog.rows import Model

_HE = "He et al., CVPR 2016"
_OWN = "not a published model; for machines without a GPU"
_NETWORKS = (
    Model(
        "resnet18",
        "ResNet-18",
        "poisoning.models.resnet:resnet18",
        512,
        _HE,
        1111,
        is_scalable=True,
    ),
    Model(
        "resnet18_w16",
        "ResNet-18, width 16",
        "poisoning.models.resnet:resnet18_w16",
        128,
        _OWN,
        70,
        is_scalable=True,
    ),
    Model("resnet6_w16", "ResNet-6, width 16", "poisoning.models.resnet:resnet6_w16", 512, _OWN, 4),
    Model("convnet3", "ConvNet-3", "poisoning.models.convnet:convnet3", 512, _OWN, 4),
    Model(
        "vgg11",
        "VGG11",
        "poisoning.models.vgg:vgg11",
        512,
        "Simonyan and Zisserman, ICLR 2015",
        306,
        image_size=32,
    ),
    Model(
        "mobilenet_v2",
        "MobileNetV2",
        "poisoning.models.mobilenet:mobilenet_v2",
        1280,
        "Sandler et al., CVPR 2018",
        182,
        is_scalable=True,
    ),
    Model(
        "alexnet_frogs",
        "AlexNet (Poison Frogs)",
        "poisoning.models.alexnet:alexnet_frogs",
        192,
        "Shafahi et al., NeurIPS 2018",
        66,
    ),
    Model(
        "alexnet_htbd",
        "AlexNet (hidden trigger)",
        "poisoning.models.alexnet:alexnet_htbd",
        4096,
        "Saha et al., AAAI 2020",
        86,
        image_size=32,
    ),
    Model(
        "resnet32_clbd",
        "ResNet-32, narrow",
        "poisoning.models.resnet:resnet32_clbd",
        64,
        "Turner et al. 2019",
        138,
        is_scalable=True,
    ),
    Model(
        "vgg16_tiny",
        "VGG16 for 64 pixels",
        "poisoning.models.vgg:vgg16_tiny",
        512,
        "Simonyan and Zisserman, ICLR 2015",
        2506,
        image_size=64,
    ),
    Model(
        "resnet34_tiny",
        "ResNet-34 for 64 pixels",
        "poisoning.models.resnet:resnet34_tiny",
        512,
        _HE,
        2335,
        is_scalable=True,
    ),
    Model(
        "mobilenet_v2_tiny",
        "MobileNetV2 for 64 pixels",
        "poisoning.models.mobilenet:mobilenet_v2",
        1280,
        "Sandler et al., CVPR 2018",
        730,
        is_scalable=True,
    ),
)
_STAND_IN = "not a published model; stands in for a larger one where a study is only tried out"
_STAND_INS = tuple(
    Model(name, title, f"poisoning.models.small:{name}", dim, _STAND_IN, mflop)
    for name, title, dim, mflop in (
        ("resnet6_w8", "ResNet-6, width 8", 256, 1.2),
        ("resnet8_w8", "ResNet-8, width 8", 512, 1.6),
        ("vgg3_w8", "VGG-3, width 8", 512, 1.3),
        ("mobilenet_w8", "MobileNet, width 8", 512, 0.4),
        ("alexnet_frogs_w8", "AlexNet (Poison Frogs), width 8", 64, 0.8),
        ("alexnet_htbd_w8", "AlexNet (hidden trigger), width 8", 128, 0.4),
    )
)

MODELS = (*_NETWORKS, *_STAND_INS)
